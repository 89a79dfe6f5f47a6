/**
 * A client of gigastt that loses nothing when its connection is cut: one file, for browsers and Node 20 or newer.
 *
 *     const session = new LiveSession("ws://127.0.0.1:9876/v1/ws", {
 *       configure: { sample_rate: 16000 },
 *       onMessage: (message) => console.log(message), // the messages of docs/protocol.md
 *     });
 *     session.send(pcm); // as often as there is audio
 *     session.stop();
 *     await session.finished;
 *
 * Audio is kept until the server needs it no more. When the connection is lost, when the server says nothing for a
 * while, or when it asks its clients to go, another one is opened, after pauses that grow, and the session goes on
 * there: no final is told twice, and none is left out. A server that refuses is asked again when it says, unless that is
 * over a minute away or of no use: then the session has failed, and `onState` is told why.
 */

/** @typedef {{code: string, message: string}} Reason the server's, why it takes no session */

/** @type {Record<string, number>} */
const WIDTHS = { pcm_s16le: 2, pcm_f32le: 4, mulaw: 1, alaw: 1 };
const SILENCE_MS = 5_000; // a server with a session says something every second
const ANSWER_MS = 40_000; // a place may take a while
const MOST_PIECE = 64 * 1024; // bytes in a message
const MOST_BUFFERED = 1_000_000; // bytes in the socket: more would hold up the answers to the server's pings
const [FIRST_WAIT_MS, LONGEST_WAIT_MS] = [100, 8_000]; // between two attempts to connect
const MS_TO_GO = 1_000; // before a server that asked its clients to go ends the session
const REFUSALS = [1002, 1003, 1007, 1008, 1009]; // closes that another attempt would not change
const COMING_BACK = 4000; // a close code that ends no session
const PASSING = [408, 425, 429, 500, 502, 503, 504]; // refusals that another attempt may change
const LONGEST_REFUSAL_MS = 60_000; // one that takes longer is not waited for
const MOVING = ["shutting_down", "pool_closed"]; // another server may be there at once, whatever this one says
const BEARER = "gigastt.bearer."; // what a key has before it as a subprotocol

export class LiveSession {
  /**
   * @param {string | URL} url of the server's WebSocket
   * @param {object} options
   * @param {Record<string, any>} [options.configure] fields of `configure`; without them 48 kHz, 16 bits, one channel
   * @param {() => string[]} [options.protocols] subprotocols of the next connection: with a key, where one is asked for
   * @param {(message: any) => void} [options.onMessage]
   * @param {(state: "connecting" | "open" | "lost" | "done" | "failed", why?: Reason) => void} [options.onState]
   * @param {number} [options.mostSeconds] of audio that is kept
   * @param {number} [options.patienceSeconds] to try to connect before giving up
   * @param {typeof WebSocket} [options.Socket]
   */
  constructor(url, options = {}) {
    const { configure = {}, protocols, onMessage, onState, mostSeconds = 600, patienceSeconds = Infinity, Socket } = options;
    this._url = url;
    this._sessionId = undefined; // that the token names
    this._configure = { type: "configure", sample_rate: 48_000, ...configure };
    this._protocols = protocols ?? (() => []);
    this._onMessage = onMessage ?? (() => {});
    this._onState = onState ?? (() => {});
    this._Socket = Socket ?? WebSocket;
    this._rate = this._configure.sample_rate;
    this._channels = configure.channels ?? 1;
    this._frameBytes = (WIDTHS[configure.encoding] ?? 2) * this._channels;
    this._ends = /** @type {Map<number, number>} */ (new Map()); // of each channel's last final, in seconds
    this._mostSamples = mostSeconds * this._rate;
    /** @type {{at: number, bytes: Uint8Array<ArrayBuffer>}[]} */
    this._pieces = []; // {at, bytes}: `at` in samples of each channel, from the first
    this._rest = new Uint8Array(0); // of a sample that has not come whole
    this._start = this._end = 0; // samples that are kept
    this._flushes = /** @type {number[]} */ ([]); // samples before which an utterance was to end
    this._stopped = this._over = false;
    this._tellsApart = configure.diarization === true;
    this._stopTold = false;
    // of the session at the server, which is another one after it had to begin anew
    this._token = /** @type {string | null} */ (null);
    this._origin = this._firstSeq = this._firstFlush = 0; // what is added to the server's counts
    this._finalSeq = -1; // the last final that was told, in our count
    this._asleep = false; // nothing was sent for long, and there is nothing to send
    this._attempts = 0;
    // of the connection
    this._socket = /** @type {WebSocket | null} */ (null);
    /** @type {ReturnType<typeof setTimeout> | undefined} */
    this._waiting = undefined; // to connect
    this._position = this._nextFlush = 0; // what is to be sent next
    this._goAt = Infinity; // when to leave a server that stops, in milliseconds since 1970
    this._heardAt = Date.now();
    this._ready = /** @type {any} */ ({}); // its first message
    this._patienceMs = 1000 * patienceSeconds;
    this._aliveAt = Date.now();
    this.reconnects = 0;
    /** @type {Promise<"done" | "failed">} */
    this.finished = new Promise((resolve) => (this._resolve = resolve)); // to "done" or "failed"
    this._timer = setInterval(() => this._tick(), 100);
    this._hurry = () => this._waiting && this._connect();
    globalThis.addEventListener?.("online", this._hurry);
    this._connect();
  }

  /**
   * Add audio, in the encoding that was configured; return whether there was room for it.
   * @param {ArrayBuffer | ArrayBufferView} data
   */
  send(data) {
    if (this._over || this._end - this._start > this._mostSamples) return false;
    const added = ArrayBuffer.isView(data)
      ? new Uint8Array(data.buffer, data.byteOffset, data.byteLength)
      : new Uint8Array(data);
    const all = new Uint8Array(this._rest.length + added.length);
    all.set(this._rest);
    all.set(added, this._rest.length);
    const samples = Math.floor(all.length / this._frameBytes);
    this._rest = all.slice(samples * this._frameBytes);
    if (samples) this._pieces.push({ at: this._end, bytes: all.subarray(0, samples * this._frameBytes) });
    this._end += samples;
    this._tick();
    return true;
  }

  /** End the utterance here. */
  flush() {
    this._flushes.push(this._end);
    this._tick();
  }

  /** No more audio comes: what is pending is told, then the session is done. */
  stop() {
    this._stopped = true;
    this._tick();
  }

  /** Let go at once; nothing more is told. */
  abandon() {
    this._finish("done");
  }

  /** Whether nothing more comes of the session. */
  get isOver() {
    return this._over;
  }

  /** Samples of each channel, from the first, that no final needs any more. */
  get settled() {
    return this._start;
  }

  /** Seconds that were recorded and not yet sent. */
  get behind() {
    return (this._end - (this._maySend ? this._position : this._start)) / this._rate;
  }

  // -- connections

  _connect() {
    if (this._over) return;
    clearTimeout(this._waiting);
    this._waiting = undefined;
    this._onState(this._attempts++ ? "lost" : "connecting");
    this._maySend = this._acknowledges = this._finalTold = this._stopSent = false;
    [this._goAt, this._error, this._heardAt, this._opened] = [Infinity, {}, Date.now(), false];
    const socket = new this._Socket(this._address(), this._protocols());
    socket.addEventListener("open", () => socket === this._socket && this._resume());
    socket.addEventListener("message", ({ data }) => socket === this._socket && this._take(JSON.parse(data)));
    socket.addEventListener("close", ({ code, reason }) => socket === this._socket && this._closed(code, reason));
    // In Node 20 no `close` follows where no connection was made.
    const failed = () => socket === this._socket && socket.readyState !== this._Socket.OPEN && this._closed(1006, "");
    socket.addEventListener("error", failed);
    this._socket = socket;
  }

  /** Where the session is found, also on a server that has no place for others. */
  _address() {
    const address = new URL(this._url);
    if (this._sessionId !== undefined) address.searchParams.set("session", this._sessionId);
    return address.href;
  }

  _resume() {
    this._opened = true;
    if (this._token === null) return;
    this.reconnects++;
    const have = { from: this._start - this._origin, have_final_seq: this._finalSeq - this._firstSeq };
    this._socket?.send(JSON.stringify({ type: "resume", token: this._token, ...have }));
  }

  /** Give this connection up, and open another. */
  _leave() {
    const left = this._socket;
    this._socket = null;
    left?.close(COMING_BACK);
    this._comeBack();
  }

  /** @param {Reason} [why] that it was refused for, and for how long @param {number} [refusedMs] */
  _comeBack(why, refusedMs = 0) {
    this._socket = null;
    this._maySend = false;
    const left = this._aliveAt + this._patienceMs - Date.now();
    if (refusedMs > Math.min(LONGEST_REFUSAL_MS, left)) return this._finish("failed", why);
    this._onState("lost", why);
    if (this._asleep) return;
    const wait = Math.min(LONGEST_WAIT_MS, FIRST_WAIT_MS * 2 ** Math.max(0, this._attempts - 1));
    this._waiting = setTimeout(() => this._connect(), refusedMs + wait * (0.5 + Math.random() / 2));
  }

  /** The connection was closed: by a server that wants no more, or by the network. @param {number} code @param {string} reason */
  _closed(code, reason) {
    const { code: told = reason, message = "", retry_after_ms: after = 0 } = this._error;
    const ownLimit = told === "max_session_duration_exceeded";
    const cannotResume = this._token === null && this._maySend && this._position > this._origin;
    const why = told ? { code: told, message } : undefined;
    if (this._stopTold && code === 1000) this._finish("done");
    else if ((REFUSALS.includes(code) && !ownLimit) || cannotResume) this._finish("failed", why);
    else if (this._opened) this._comeBack(after ? why : undefined, MOVING.includes(told) ? 0 : after);
    else this._askWhy();
  }

  /** The connection was refused, and nobody tells a WebSocket why: ask the same address as a plain request. */
  async _askWhy() {
    this._socket = null;
    const key = this._protocols().find((name) => name.startsWith(BEARER));
    const headers = new Headers(!key ? {} : { authorization: `Bearer ${key.slice(BEARER.length)}` });
    const options = { headers, signal: AbortSignal.timeout(SILENCE_MS) };
    const answer = await fetch(this._address().replace(/^ws/, "http"), options).catch(() => null); // nobody is there
    const told = (await answer?.json().catch(() => null)) ?? {};
    if (this._over) return;
    if (!answer || answer.status === 426) return this._comeBack(); // it would be let in now
    const { code = "", error: message = `${answer.status} ${answer.statusText}` } = told;
    const after = MOVING.includes(code) ? 0 : 1000 * Number(answer.headers.get("retry-after")) || 0;
    this._comeBack({ code, message }, PASSING.includes(answer.status) ? after : Infinity);
  }

  /** @param {"done" | "failed"} state @param {Reason} [why] */
  _finish(state, why) {
    if (this._over) return;
    this._over = true;
    clearInterval(this._timer);
    clearTimeout(this._waiting);
    globalThis.removeEventListener?.("online", this._hurry);
    const left = this._socket;
    this._socket = null;
    this._pieces = [];
    left?.close(1000);
    this._onState(state, why);
    this._resolve(state);
  }

  // -- messages

  /** @param {any} message */
  _take(message) {
    this._heardAt = Date.now();
    if (message.type === "ack") {
      if (this._asleep) return;
      this._acknowledged(message);
      if (this._finalTold && this._goAt < Infinity) return this._leave(); // an utterance has just ended
    } else if (message.type === "ready") {
      this._ready = message;
      if (this._token === null) this._begin();
    } else if (message.type === "final") {
      this._takeFinal(message);
    } else if (message.type === "goaway") {
      this._goAt = Date.now() + 1000 * message.seconds - MS_TO_GO;
    } else if (message.type === "error" && message.code === "resume_failed") {
      this._trim(this._channels === this._ends.size ? Math.round(Math.min(...this._ends.values()) * this._rate) : 0);
      this._forgetSession(this._start); // behind the last finals
      this._begin();
    } else {
      if (message.type === "error") this._error = message;
      if (message.retry_after_ms === undefined) this._onMessage(this._shifted(message)); // else another attempt may succeed
    }
    this._finalTold = message.type === "final";
  }

  /** Begin a session with the audio that is there; each one is told of by its `ready`. */
  _begin() {
    this._token = this._ready.resume_token ?? null;
    this._sessionId = this._ready.session_id;
    this._socket?.send(JSON.stringify({ ...this._configure, ...(this._token === null ? {} : { resume: true }) }));
    this._sendFrom(this._start, this._firstFlush);
    this._onMessage(this._ready);
  }

  /** @param {number} position @param {number} flush */
  _sendFrom(position, flush) {
    [this._position, this._nextFlush, this._maySend, this._attempts] = [position, flush, true, 1];
    this._aliveAt = Date.now();
    this._onState("open");
    this._tick();
  }

  /** What comes next is another session to the server: its audio begins at `until`. @param {number} until */
  _forgetSession(until) {
    [this._token, this._origin, this._firstSeq] = [null, until, this._finalSeq + 1];
    this._firstFlush = until ? this._flushes.filter((flush) => flush <= until).length : 0;
  }

  /** @param {any} ack */
  _acknowledged(ack) {
    this._acknowledges = true;
    this._aliveAt = Date.now();
    if (!this._maySend) this._sendFrom(this._origin + ack.received, this._firstFlush + ack.flushes); // after `resume`
    if (ack.resume_token === undefined) return;
    [this._token, this._sessionId] = [ack.resume_token, ack.session_id];
    this._trim(this._origin + ack.committed);
  }

  /** @param {any} message */
  _takeFinal(message) {
    const final = this._shifted({ ...message, seq: message.seq + this._firstSeq });
    const reason = final.endpoint_reason;
    const unfinished = ["timeout", "shutdown"].includes(reason) && this._error.code !== "idle_timeout";
    if (final.seq <= this._finalSeq || unfinished) return; // known, or to be told whole by the next session
    this._finalSeq = final.seq;
    this._ends.set(final.channel ?? 0, final.end);
    this._onMessage(final);
    if (reason === "stop") {
      this._stopTold = true; // of a channel; others may follow, and who speaks: then the server closes
      if (this._channels === 1 && !this._tellsApart) this._finish("done");
    } else if (reason === "timeout") {
      this._trim(this._position); // nothing was sent for long: what comes then is new
      this._forgetSession(this._position);
      this._asleep = true;
    }
  }

  /** Return a message with its times counted from the first sample of all. @param {any} message */
  _shifted(message) {
    const seconds = this._origin / this._rate;
    if (!seconds || !("start" in message || "words" in message)) return message;
    const later = (/** @type {any} */ one) => ("start" in one ? { ...one, start: one.start + seconds, end: one.end + seconds } : one);
    return { ...later(message), ...(message.words ? { words: message.words.map(later) } : {}) };
  }

  // -- audio

  /** @param {number} committed */
  _trim(committed) {
    this._start = Math.max(this._start, committed);
    const ends = () => this._pieces[0].at + this._pieces[0].bytes.length / this._frameBytes;
    while (this._pieces.length && ends() <= this._start) this._pieces.shift();
  }

  /** Send what there is, and look at the clock. */
  _tick() {
    const hasWork = this._end > this._start || this._stopped;
    if (this._asleep && !this._socket && hasWork) {
      this._asleep = false;
      this._connect();
    }
    if (this._over || !this._socket) return;
    const [now, silence] = [Date.now(), this._acknowledges ? SILENCE_MS : this._maySend ? Infinity : ANSWER_MS];
    if (now > this._heardAt + silence || now > this._goAt) return this._leave();
    if (!this._maySend || this._stopSent || this._socket.readyState !== this._Socket.OPEN) return;
    while (this._socket.bufferedAmount < MOST_BUFFERED) {
      const mustFlush = this._nextFlush < this._flushes.length;
      const piece = this._read(mustFlush ? this._flushes[this._nextFlush] : this._end);
      if (piece) {
        this._socket.send(piece);
        this._position += piece.length / this._frameBytes;
        if (this._token === null) this._trim(this._position); // this server never acknowledges
      } else if (mustFlush) {
        this._nextFlush++;
        this._socket.send('{"type":"flush"}');
      } else {
        this._stopSent = this._stopped;
        if (this._stopSent) this._socket.send('{"type":"stop"}');
        return;
      }
    }
  }

  /** Return kept audio from the position on, up to the end of its piece and to `until` at most. @param {number} until */
  _read(until) {
    const piece = this._pieces.findLast(({ at }) => at <= this._position);
    if (piece === undefined || this._position >= until) return null;
    const begin = this._position - piece.at;
    const end = Math.min(until - piece.at, begin + Math.floor(MOST_PIECE / this._frameBytes));
    const bytes = piece.bytes.subarray(begin * this._frameBytes, end * this._frameBytes);
    return bytes.length ? bytes : null;
  }
}
