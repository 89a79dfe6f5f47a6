/**
 * Sound of this machine as 16 kHz, 16-bit PCM: the microphone, and the sound of a tab as a second channel.
 *
 *     const capture = new Capture([await openMicrophone()], (pcm) => socket.send(pcm), () => …);
 *     await capture.start();
 *     …
 *     await capture.stop();
 *
 * A piece is an Int16Array of 100 ms, its channels interleaved, in the order of the streams. Browsers give a microphone
 * only to pages of HTTPS or of this machine (`window.isSecureContext`). Needs resampler.js and capture-worklet.js beside it.
 */

const START_MS = 10_000;

/** Whether this page may ask for a microphone at all. */
export const canCapture = () => window.isSecureContext && Boolean(navigator.mediaDevices?.getUserMedia);

/** Whether this browser can give the sound of a tab: those can that could also keep it from the loudspeaker. */
export const canCaptureTab = () =>
  canCapture() &&
  "getDisplayMedia" in navigator.mediaDevices &&
  "suppressLocalAudioPlayback" in navigator.mediaDevices.getSupportedConstraints();

/**
 * Ask for a microphone. The browser's own clean-up is off: the recogniser hears better without it. Only where a tab is
 * heard as well does the browser take the loudspeaker out of the microphone.
 * @param {string} [deviceId] one of `listMicrophones`; the default one without
 * @param {boolean} [besideTab]
 */
export function openMicrophone(deviceId, besideTab = false) {
  return navigator.mediaDevices.getUserMedia({
    audio: {
      deviceId: deviceId ? { exact: deviceId } : undefined,
      channelCount: 1,
      echoCancellation: besideTab,
      noiseSuppression: false,
      autoGainControl: false,
    },
  });
}

/**
 * Ask for a tab of a meeting, with its sound.
 * @throws {DOMException} `NoTabSound`: the person gave one without
 */
export async function openTab() {
  const shared = await navigator.mediaDevices.getDisplayMedia({ video: { displaySurface: "browser", frameRate: 1 }, audio: true });
  if (shared.getAudioTracks().length) return shared;
  for (const track of shared.getTracks()) track.stop();
  throw new DOMException("The tab has no sound.", "NoTabSound");
}

/**
 * Microphones by id and name; names are empty until one has been allowed.
 * @returns {Promise<{id: string, name: string}[]>}
 */
export async function listMicrophones() {
  const devices = await navigator.mediaDevices.enumerateDevices();
  return devices.filter((device) => device.kind === "audioinput").map(({ deviceId: id, label: name }) => ({ id, name }));
}

/**
 * The loudness of each channel of a piece, 0 (-60 dBFS or less) to 1 (full scale).
 * @param {Int16Array} pcm
 * @param {number} channels
 */
export function levels(pcm, channels) {
  return Array.from({ length: channels }, (_, channel) => {
    let sum = 1;
    for (let index = channel; index < pcm.length; index += channels) sum += pcm[index] ** 2;
    const decibels = 10 * Math.log10((sum * channels) / pcm.length / 32768 ** 2);
    return Math.max(0, Math.min(1, 1 + decibels / 60));
  });
}

/** Firefox runs no audio on a machine without any output for it, and does not say so. */
const notRunning = () =>
  new Promise((_, reject) => setTimeout(() => reject(new DOMException("The browser runs no audio.", "NotRunning")), START_MS));

export class Capture {
  /**
   * @param {MediaStream[]} streams one for each channel; stopped with the capture
   * @param {(pcm: Int16Array) => void} onPiece
   * @param {(channel: number) => void} onEnd a device was taken away, or the person ended the sharing: it is silent now
   * @param {(isMuted: boolean) => void} [onMute] a device gives nothing for a while, as during a telephone call, or again
   */
  constructor(streams, onPiece, onEnd, onMute = () => {}) {
    this._streams = streams;
    this._onPiece = onPiece;
    this._stopped = () => {};
    /** @type {AudioContext | undefined} */
    this._context = undefined;
    /** @type {AudioWorkletNode | undefined} */
    this._node = undefined;
    for (const [channel, stream] of streams.entries()) {
      for (const track of stream.getAudioTracks()) {
        track.addEventListener("ended", () => onEnd(channel));
        track.addEventListener("mute", () => onMute(true));
        track.addEventListener("unmute", () => onMute(false));
      }
    }
  }

  async start() {
    const context = new AudioContext({ latencyHint: "interactive" });
    this._context = context;
    await context.audioWorklet.addModule(new URL("capture-worklet.js", import.meta.url).href);
    const node = new AudioWorkletNode(context, "capture", { numberOfInputs: this._streams.length });
    this._node = node;
    node.port.onmessage = ({ data }) => (data ? this._onPiece(data) : this._stopped());
    for (const [channel, stream] of this._streams.entries()) {
      context.createMediaStreamSource(stream).connect(node, 0, channel);
    }
    node.connect(context.destination); // silent: a node that nobody hears may be left out
    await Promise.race([context.resume(), notRunning()]);
    context.addEventListener("statechange", () => this._node && context.resume().catch(() => {})); // behind a telephone call
  }

  /** Give the last piece, then let go of the devices. */
  async stop() {
    const node = this._node;
    this._node = undefined;
    if (node) {
      const last = new Promise((resolve) => (this._stopped = () => resolve(undefined)));
      node.port.postMessage(null);
      await Promise.race([last, new Promise((resolve) => setTimeout(resolve, 500))]);
    }
    for (const stream of this._streams) for (const track of stream.getTracks()) track.stop();
    await this._context?.close();
  }
}
