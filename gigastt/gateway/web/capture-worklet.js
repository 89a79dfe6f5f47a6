/** Runs on the audio thread: each input mixed to one channel, brought to 16 kHz and 16 bits, interleaved, in pieces. */

import { RATE, Resampler } from "./resampler.js";

const PIECE = RATE / 10; // frames: 100 ms

class CaptureProcessor extends AudioWorkletProcessor {
  /** @param {{numberOfInputs: number}} options */
  constructor(options) {
    super();
    this._resamplers = Array.from({ length: options.numberOfInputs }, () => new Resampler(sampleRate));
    this._piece = new Int16Array(PIECE * options.numberOfInputs);
    this._frames = 0;
    this._running = true;
    this.port.onmessage = () => {
      this._send();
      this._running = false;
      this.port.postMessage(null); // that was the last piece
    };
  }

  /** @param {Float32Array[][]} inputs */
  process(inputs) {
    if (!this._running) return false;
    const channels = inputs.map((input, index) => this._resamplers[index].process(mix(input)));
    const count = Math.min(...channels.map((channel) => channel.length));
    for (let frame = 0; frame < count; frame++) {
      for (const [index, channel] of channels.entries()) {
        const value = Math.max(-1, Math.min(1, channel[frame]));
        this._piece[this._frames * channels.length + index] = Math.round(value * 32767);
      }
      if (++this._frames === PIECE) this._send();
    }
    return true;
  }

  _send() {
    const channels = this._resamplers.length;
    const pcm = this._piece.slice(0, this._frames * channels);
    this._frames = 0;
    if (pcm.length) this.port.postMessage(pcm, [pcm.buffer]);
  }
}

/**
 * The mean of an input's channels; silence while it has none.
 * @param {Float32Array[]} channels
 */
function mix(channels) {
  const mixed = new Float32Array(128);
  for (const channel of channels) {
    for (let index = 0; index < 128; index++) mixed[index] += channel[index] / channels.length;
  }
  return mixed;
}

registerProcessor("capture", CaptureProcessor);
