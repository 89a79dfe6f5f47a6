/** Runs on the audio thread: its input as one channel of 16 kHz and 16 bits, in pieces of 100 ms. */

import { RATE, Resampler } from "./resampler.js";

const PIECE = RATE / 10;

class CaptureProcessor extends AudioWorkletProcessor {
  constructor() {
    super();
    this._resampler = new Resampler(sampleRate);
    this._piece = new Int16Array(PIECE);
    this._filled = 0;
    this._running = true;
    this.port.onmessage = () => {
      this._send();
      this._running = false;
      this.port.postMessage(null); // that was the last piece
    };
  }

  process([channels]) {
    if (!this._running) return false;
    for (const sample of this._resampler.process(mix(channels))) {
      this._piece[this._filled++] = Math.round(Math.max(-1, Math.min(1, sample)) * 32767);
      if (this._filled === PIECE) this._send();
    }
    return true;
  }

  _send() {
    if (this._filled) this.port.postMessage(this._piece.slice(0, this._filled));
    this._filled = 0;
  }
}

/** The mean of the channels; silence while there is none. */
function mix(channels) {
  const mixed = new Float32Array(128);
  for (const channel of channels) {
    for (let index = 0; index < channel.length; index++) mixed[index] += channel[index] / channels.length;
  }
  return mixed;
}

registerProcessor("capture", CaptureProcessor);
