/**
 * A live transcript that outlives its connections.
 *
 * Audio is kept until the final that covers it has come. When the connection is lost, a new one is made and what lies
 * behind the end of the last final is sent again, so no final comes twice and no word is lost. Nor is a word cut by a
 * server that stops: the last final of such a one is shown, and its audio is sent again. Times are seconds since the
 * first piece.
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
   * @param {object} told
   * @param {(state: "connecting" | "open" | "lost" | "done") => void} told.onState
   * @param {(message: {words: {word: string}[], stable: number}) => void} told.onPartial
   * @param {(message: {text: string, start: number, end: number}) => void} told.onFinal
   * @param {(code: string, message: string) => void} told.onError
   */
  constructor(told) {
    this._told = told;
    this._pieces = []; // {at, pcm}: `at` in samples since the first piece
    this._end = 0; // samples: of what was recorded
    this._settled = 0; // of what finals cover
    this._sent = 0; // of what was sent over this connection
    this._base = 0; // where this connection began
    this._ready = false;
    this._stopping = false;
    this._failures = 0;
    this._shown = null; // as a final would be told: what was shown last and no final has replaced
    this._timer = setInterval(() => this._pump(), 100);
    this._connect();
  }

  /** @param {Int16Array} pcm */
  push(pcm) {
    this._pieces.push({ at: this._end, pcm });
    this._end += pcm.length;
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
    if (this._shown) this._told.onFinal(this._shown);
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
    const socket = new WebSocket(new URL("/v1/ws", location.href.replace(/^http/, "ws")), subprotocols());
    this._socket = socket;
    socket.addEventListener("message", ({ data }) => this._take(JSON.parse(data)));
    socket.addEventListener("close", ({ code }) => this._closed(code));
  }

  _take(message) {
    if (message.type === "ready") {
      this._base = this._sent = this._settled;
      this._stopSent = false;
      this._socket.send(JSON.stringify({ type: "configure", sample_rate: RATE, protocol_version: "1.2" }));
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
      const offset = this._base / RATE;
      this._settled = Math.max(this._settled, Math.min(this._sent, this._base + Math.round(message.end * RATE)));
      this._forget();
      this._shown = null;
      this._told.onFinal({ text: message.text, start: message.start + offset, end: message.end + offset });
      if (message.endpoint_reason === "stop") this._finish();
    } else if (message.type === "error") {
      this._told.onError(message.code, message.message);
    }
  }

  _show(message) {
    const [offset, { words }] = [this._base / RATE, message];
    const [start, end] = [words[0]?.start ?? 0, words.at(-1)?.end ?? 0];
    this._shown = message.text ? { text: message.text, start: start + offset, end: end + offset } : null;
    this._told.onPartial(message);
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
    for (const { at, pcm } of this._pieces) {
      if (at + pcm.length <= this._sent) continue;
      if (this._socket.bufferedAmount > MOST_BUFFERED) return;
      this._socket.send(at < this._sent ? pcm.slice(this._sent - at) : pcm);
      this._sent = at + pcm.length;
    }
    if (this._stopping) {
      this._stopSent = true;
      this._socket.send('{"type":"stop"}');
    }
  }

  _forget() {
    while (this._pieces.length && this._pieces[0].at + this._pieces[0].pcm.length <= this._settled) this._pieces.shift();
  }

  _finish() {
    if (this._done) return;
    this._done = true;
    clearInterval(this._timer);
    this._told.onState("done");
  }
}
