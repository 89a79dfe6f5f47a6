/**
 * A live transcript that outlives its connections.
 *
 * Audio is kept until the final that covers it has come. When the connection is lost, a new one is made and what lies
 * behind the end of the last final is sent again, so no final comes twice and no word is lost. Nor is a word cut by a
 * server that stops: the last final of such a one is shown, and its audio is sent again. Times are seconds since the
 * first piece. With two channels each has finals of its own; what one has been told is not told again when audio is
 * sent once more for the other.
 */

import { RATE } from "./resampler.js";
import { subprotocols } from "./server.js";

const SENT_SECONDS = 60; // kept of what was sent: an utterance has 20 at most
const MOST_SECONDS = 600; // kept in all
const MOST_BUFFERED = 1_000_000; // bytes in the socket: more would hold up the answers to the server's pings
const UNFINISHED = ["shutdown", "timeout", "error"]; // finals that may end within a word: said again to the next server
const LONGEST_WAIT_MS = 8_000;

export class Session {
  /**
   * @param {string} id the name by which others can read along
   * @param {number} channels 1, or 2 for a call with one speaker on each
   * @param {object} told
   * @param {(state: "connecting" | "open" | "lost" | "done") => void} told.onState
   * @param {(message: {words: {word: string}[], stable: number, channel?: number}) => void} told.onPartial
   * @param {(segment: import("./forms.js").Segment) => void} told.onFinal
   * @param {(frame: number) => void} told.onSettled finals cover all before it
   * @param {(code: string, message: string) => void} told.onError
   */
  constructor(id, channels, told) {
    this._id = id;
    this._channels = channels;
    this._told = told;
    this._pieces = []; // {at, frames, pcm}: `at` in frames since the first piece
    this._end = 0; // frames: of what was recorded
    this._covered = Array(channels).fill(0); // of what finals cover, by channel
    this._settled = 0; // of what need not be sent again
    this._sent = 0; // of what was sent over this connection
    this._base = 0; // where this connection began
    this._ready = false;
    this._stopping = false;
    this._failures = 0;
    this._shown = new Map(); // by channel, as a final would be told: what was shown last and no final has replaced
    this._timer = setInterval(() => this._pump(), 100);
    this._connect();
  }

  /** @param {Int16Array} pcm */
  push(pcm) {
    const frames = pcm.length / this._channels;
    this._pieces.push({ at: this._end, frames, pcm });
    this._end += frames;
    const oldest = Math.max(this._end - RATE * MOST_SECONDS, this._ready ? this._sent - RATE * SENT_SECONDS : 0);
    this._settled = Math.max(this._settled, oldest);
    this._forget();
    this._pump();
  }

  /** No more audio comes: what is pending is told, then the session is done. */
  stop() {
    this._stopping = true;
    this._pump();
  }

  /** Let go at once; what was shown last becomes a final. */
  abandon() {
    for (const shown of this._shown.values()) this._told.onFinal(shown);
    this._finish();
    this._socket?.close();
  }

  /** Seconds that were recorded and not yet sent. */
  get behind() {
    return (this._end - Math.max(this._sent, this._settled)) / RATE;
  }

  _connect() {
    this._told.onState(this._failures ? "lost" : "connecting");
    this._ready = false;
    const socket = new WebSocket(new URL(`/v1/ws?captions=${this._id}`, location.href.replace(/^http/, "ws")), subprotocols());
    this._socket = socket;
    socket.addEventListener("message", ({ data }) => this._take(JSON.parse(data)));
    socket.addEventListener("close", ({ code }) => this._closed(code));
  }

  _take(message) {
    if (message.type === "ready") {
      this._base = this._sent = this._settled;
      this._stopSent = false;
      this._socket.send(JSON.stringify({ type: "configure", sample_rate: RATE, channels: this._channels, protocol_version: "1.2" }));
      this._ready = true;
      this._told.onState("open");
      this._pump();
    } else if (message.type === "partial") {
      this._failures = 0;
      this._show(message);
    } else if (message.type === "final" && UNFINISHED.includes(message.endpoint_reason)) {
      if (message.text) this._show({ ...message, stable: 0 });
    } else if (message.type === "final") {
      this._failures = 0;
      this._settle(message);
      if (message.endpoint_reason === "stop" && ++this._ended === this._channels) this._finish();
    } else if (message.type === "error") {
      this._told.onError(message.code, message.message);
    }
  }

  _show(message) {
    const { channel = 0, text, words } = message;
    if (text) this._shown.set(channel, this._shifted({ ...message, start: words[0]?.start ?? 0, end: words.at(-1)?.end ?? 0 }));
    else this._shown.delete(channel);
    this._told.onPartial(message);
  }

  _settle(message) {
    const channel = message.channel ?? 0;
    const final = this._shifted(message);
    const end = Math.min(this._sent, Math.round(final.end * RATE));
    this._shown.delete(channel);
    if (end <= this._covered[channel] && final.text) return; // told over an earlier connection
    this._covered[channel] = Math.max(this._covered[channel], end);
    this._settled = Math.max(this._settled, Math.min(...this._covered));
    this._forget();
    this._told.onFinal(final);
    this._told.onSettled(this._settled);
  }

  /** A message of this connection as a segment, in the times of the session. */
  _shifted({ text, start, end, confidence = 0, words, channel }) {
    const shift = (one) => ({ ...one, start: one.start + this._base / RATE, end: one.end + this._base / RATE });
    const segment = shift({ text, start, end, confidence, words: words.map(shift) });
    return channel === undefined ? segment : { ...segment, channel };
  }

  _closed(code) {
    this._ready = false;
    if (code === 1000 && this._stopSent) this._finish();
    if (this._done) return;
    this._told.onState("lost");
    const wait = Math.min(LONGEST_WAIT_MS, 250 * 2 ** this._failures++);
    setTimeout(() => this._done || this._connect(), wait);
  }

  _pump() {
    if (!this._ready || this._stopSent || this._socket.readyState !== WebSocket.OPEN) return;
    for (const { at, frames, pcm } of this._pieces) {
      if (at + frames <= this._sent) continue;
      if (this._socket.bufferedAmount > MOST_BUFFERED) return;
      this._socket.send(at < this._sent ? pcm.slice((this._sent - at) * this._channels) : pcm);
      this._sent = at + frames;
    }
    if (this._stopping) {
      this._stopSent = true;
      this._ended = 0;
      this._socket.send('{"type":"stop"}');
    }
  }

  _forget() {
    while (this._pieces.length && this._pieces[0].at + this._pieces[0].frames <= this._settled) this._pieces.shift();
  }

  _finish() {
    if (this._done) return;
    this._done = true;
    clearInterval(this._timer);
    this._told.onState("done");
  }
}
