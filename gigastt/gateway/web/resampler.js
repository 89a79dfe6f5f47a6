/**
 * Audio of any rate as 16 kHz: a windowed sinc, one set of taps for each phase between two input samples.
 *
 * Every browser gives an AudioContext its device's own rate; only some can be asked for another. So the rate is changed
 * here, the same way everywhere. Flat to 7 kHz, 60 dB down from 8.6 kHz on.
 */

export const RATE = 16_000;
const ZEROS = 24; // zero crossings on each side
const CUTOFF = 0.97; // of half the lower rate

export class Resampler {
  /** @param {number} rate of the input, in Hz */
  constructor(rate) {
    const divisor = gcd(rate, RATE);
    this._up = RATE / divisor;
    this._down = rate / divisor;
    const scale = CUTOFF * Math.min(1, RATE / rate);
    this._half = Math.ceil(ZEROS / scale);
    this._taps = Array.from({ length: this._up }, (_, phase) => taps(phase / this._up, this._half, scale));
    this._kept = new Float32Array(this._half); // silence before the first sample, so that times stay true
    this._step = 0; // of the next output sample, in 1/up of an input sample, from the start of what is kept
  }

  /**
   * Return what can be made of these samples and those kept.
   * @param {Float32Array} samples
   * @returns {Float32Array}
   */
  process(samples) {
    const input = new Float32Array(this._kept.length + samples.length);
    input.set(this._kept);
    input.set(samples, this._kept.length);
    const output = [];
    let base = Math.floor(this._step / this._up);
    while (base + 2 * this._half < input.length) {
      const phase = this._taps[this._step % this._up];
      let sum = 0;
      for (let tap = 0; tap < phase.length; tap++) sum += phase[tap] * input[base + tap];
      output.push(sum);
      this._step += this._down;
      base = Math.floor(this._step / this._up);
    }
    const used = Math.min(base, input.length);
    this._step -= used * this._up;
    this._kept = input.slice(used);
    return Float32Array.from(output);
  }
}

/**
 * Blackman-windowed sinc over inputs -half … half, for an output that lies `fraction` after input 0.
 * @param {number} fraction
 * @param {number} half
 * @param {number} scale
 */
function taps(fraction, half, scale) {
  const values = new Float32Array(2 * half + 1);
  let sum = 0;
  for (let index = -half; index <= half; index++) {
    const distance = index - fraction;
    const x = Math.PI * distance * scale;
    const place = Math.PI * (distance / (half + 1));
    const window = 0.42 + 0.5 * Math.cos(place) + 0.08 * Math.cos(2 * place);
    sum += values[index + half] = (x === 0 ? 1 : Math.sin(x) / x) * window;
  }
  return values.map((value) => value / sum);
}

/**
 * @param {number} a
 * @param {number} b
 * @returns {number}
 */
const gcd = (a, b) => (b ? gcd(b, a % b) : a);
