/**
 * The microphone as 16 kHz, 16-bit PCM.
 *
 *     const capture = new Capture((pcm) => …, () => …);
 *     await capture.start();
 *     …
 *     await capture.stop();
 *
 * A piece is an Int16Array of 100 ms. Browsers give a microphone only to pages of HTTPS or of this machine
 * (`window.isSecureContext`). Needs resampler.js and capture-worklet.js beside it.
 */

/** Whether this page may ask for a microphone at all. */
export const canCapture = () => window.isSecureContext && Boolean(navigator.mediaDevices?.getUserMedia);

export class Capture {
  /**
   * @param {(pcm: Int16Array) => void} onPiece
   * @param {() => void} onEnd the device was taken away
   */
  constructor(onPiece, onEnd) {
    this._onPiece = onPiece;
    this._onEnd = onEnd;
    this._stopped = () => {};
  }

  /** Ask for the microphone, without the browser's own clean-up: the recogniser hears better without it. */
  async start() {
    this._stream = await navigator.mediaDevices.getUserMedia({
      audio: { channelCount: 1, echoCancellation: false, noiseSuppression: false, autoGainControl: false },
    });
    for (const track of this._stream.getAudioTracks()) track.addEventListener("ended", this._onEnd);
    this._context = new AudioContext({ latencyHint: "interactive" });
    await this._context.audioWorklet.addModule(new URL("capture-worklet.js", import.meta.url).href);
    this._node = new AudioWorkletNode(this._context, "capture");
    this._node.port.onmessage = ({ data }) => (data ? this._onPiece(data) : this._stopped());
    this._context.createMediaStreamSource(this._stream).connect(this._node);
    this._node.connect(this._context.destination); // silent: a node that nobody hears may be left out
    await this._context.resume();
  }

  /** Give the last piece, then let go of the device. */
  async stop() {
    if (this._node) {
      const last = new Promise((resolve) => (this._stopped = () => resolve(undefined)));
      this._node.port.postMessage(null);
      await Promise.race([last, new Promise((resolve) => setTimeout(resolve, 500))]);
    }
    for (const track of this._stream?.getTracks() ?? []) track.stop();
    await this._context?.close();
  }
}

/**
 * The loudness of a piece, 0 (-60 dBFS or less) to 1 (full scale).
 * @param {Int16Array} pcm
 */
export function loudness(pcm) {
  const power = pcm.reduce((sum, sample) => sum + sample ** 2, 1) / pcm.length / 32768 ** 2;
  return Math.max(0, Math.min(1, 1 + (10 * Math.log10(power)) / 60));
}
