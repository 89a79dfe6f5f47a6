/**
 * A talk: its live transcript, kept in this browser with the audio that no final covers yet. A reload, a crash of the
 * browser or an absence of the server loses nothing that was recorded: the audio is sent when there is a server again.
 *
 * Times are seconds of recorded audio since the talk began, also over several starts and stops.
 */

import { LiveSession } from "./client.js";
import { hotwords } from "./hotwords.js";
import { RATE } from "./resampler.js";
import { subprotocols } from "./server.js";
import { match, relabel } from "./speakers.js";
import { allTranscripts, dropPieces, keepPiece, keepSegment, keepTranscript, keptPieces, segmentsOf } from "./store.js";

const MOST_SECONDS = 3_600; // of audio that waits for a server
const SAME_SECONDS = 0.05; // finals that end so close to each other are the same
const OWNER_WAIT_MS = 5_000; // a page that is being reloaded may own its talk for a moment yet
const MOST_KNOWN = 16; // voices that a server is told of

/**
 * @typedef {import("./forms.js").Segment & {at: number}} SpokenSegment `at`: when it was said, in milliseconds since 1970
 * @typedef {"connecting" | "open" | "lost" | "done" | "failed"} State
 * @typedef {object} Told
 * @property {(state: State, why?: import("./client.js").Reason) => void} onState
 * @property {(message: {words: {word: string}[], stable: number, channel?: number}) => void} onPartial
 * @property {(segment: SpokenSegment) => void} onFinal
 * @property {() => void} onSpeakers segments have other speakers now
 * @property {(code: string, message: string) => void} onError
 */

export class Recording {
  /**
   * @param {Told} told
   * @param {Partial<import("./store.js").Talk>} about what the store has of it; of a new one `channels`, `names`, `apart`
   */
  constructor(told, about) {
    this._told = told;
    const created = Date.now();
    /** @type {import("./store.js").Talk} */
    this.about = { id: crypto.randomUUID(), kind: "talk", created, epoch: created, duration: 0, channels: 1, ends: [0, 0], open: true, names: {}, speakers: 0, voices: {}, ...about };
    /** @type {SpokenSegment[]} */
    this.segments = [];
    this._frames = 0; // recorded in all
    /** @type {LiveSession | null} */
    this._session = null;
    /** @type {{at: number, pcm: Int16Array}[]} */
    this._pieces = []; // recorded and kept, but not given to a session
    this._dropped = 0; // frames before which no audio is kept
    /** @type {Map<number, any>} */
    this._shown = new Map(); // by channel, what was shown last and no final has replaced
    // of the session
    this._base = 0; // frames before it
    this._first = 0; // of its segments
    /** @type {import("./forms.js").Word[]} */
    this._words = []; // that it has told, with those that the talk has from before a reload
    /** @type {Map<number | undefined, number>} */
    this._labels = new Map(); // its numbers of speakers to those of the talk
  }

  /**
   * Take up the talk that was not ended, with its segments; null if there is none, or another tab has it.
   * @param {Told} told
   */
  static async restore(told) {
    for (const about of /** @type {import("./store.js").Talk[]} */ (await allTranscripts())) {
      if (about.kind !== "talk" || !about.open || !(await own(about.id))) continue;
      const recording = new Recording(told, about);
      recording.segments = /** @type {SpokenSegment[]} */ (await segmentsOf(about.id));
      recording._pieces = await keptPieces(about.id);
      const last = recording._pieces.at(-1);
      const recorded = last ? last.at + last.pcm.length / about.channels : 0;
      recording._frames = Math.max(recorded, Math.ceil(about.duration * RATE));
      return recording;
    }
    return null;
  }

  get isRunning() {
    return this._session !== null;
  }

  /** Seconds that were recorded and not yet sent. */
  get behind() {
    return this._session?.behind ?? 0;
  }

  /** Send what was recorded before a reload and never covered; return whether there is any. */
  sendKept() {
    const pieces = this._pieces;
    this._pieces = [];
    if (!pieces.length) return false;
    const session = this._open(pieces[0].at);
    for (const { pcm } of pieces) session.send(pcm);
    return true;
  }

  /**
   * Take a piece of audio.
   * @param {Int16Array} pcm its channels interleaved
   */
  push(pcm) {
    if (!this._session) {
      if (!this.segments.length) own(this.about.id);
      this.about.epoch = Date.now() - (this._frames / RATE) * 1000;
      if (!this.sendKept()) this._open(this._frames);
    }
    const session = /** @type {LiveSession} */ (this._session);
    keepPiece(this.about.id, this._frames, pcm);
    this._frames += pcm.length / this.about.channels;
    session.send(pcm);
    const settled = this._base + session.settled;
    if (settled <= this._dropped) return;
    this._dropped = settled;
    dropPieces(this.about.id, settled);
  }

  stop() {
    this._session?.stop();
  }

  /** Let go at once; what was shown last becomes a segment. */
  abandon() {
    for (const shown of this._shown.values()) this._add(shown);
    this._session?.abandon();
  }

  /** Keep what is known of the talk but its segments. */
  async keep() {
    await keepTranscript(this.about);
  }

  /** The talk is over: what is kept of it is a transcript like any other. */
  async end() {
    this.about.open = false;
    await this.keep();
  }

  /** Begin a session whose audio begins at that frame. @param {number} base */
  _open(base) {
    const { id, channels, apart } = this.about;
    this._base = base;
    this.keep();
    this._session = new LiveSession(new URL(`/v1/ws?captions=${id}`, location.href.replace(/^http/, "ws")), {
      configure: { sample_rate: RATE, channels, ...hotwords(), ...(apart ? this._wishes() : {}) },
      protocols: subprotocols,
      mostSeconds: MOST_SECONDS,
      onState: (state, why) => this._turn(state, why),
      onMessage: (message) => this._take(message),
    });
    return this._session;
  }

  /** Who speaks is asked for; those of earlier sessions are known by their voices. */
  _wishes() {
    const known = Object.entries(this.about.voices).map(([name, embedding]) => ({ name, embedding }));
    return { diarization: true, speaker_embeddings: true, known_speakers: known.slice(-MOST_KNOWN) };
  }

  /** @param {State} state @param {import("./client.js").Reason} [why] */
  async _turn(state, why) {
    if (state === "done" || state === "failed") {
      this._session = null;
      this._shown.clear();
      if (state === "done") dropPieces(this.about.id);
      else this._pieces = await keptPieces(this.about.id);
    }
    this._told.onState(state, why);
  }

  /** @param {any} message */
  _take(message) {
    const { type, channel = 0, text, words } = message;
    if (type === "ready") {
      [this._first, this._words, this._labels] = [this.segments.length, [], new Map()]; // also after a server's restart
    } else if (type === "partial") {
      if (text) this._shown.set(channel, { ...message, start: words[0]?.start ?? 0, end: words.at(-1)?.end ?? 0 });
      else this._shown.delete(channel);
      this._told.onPartial(message);
    } else if (type === "final") {
      this._shown.delete(channel);
      this._add(message);
    } else if (type === "speakers") this._settle(message);
    else if (type === "hotwords") this._told.onError("unusable_hotwords", message.unusable.join(", "));
    else if (type === "error") this._told.onError(message.code, message.message);
  }

  /** Add what was said, unless the talk has it from before a reload. @param {any} final */
  _add({ text, start, end, confidence = 0, words: told, channel, ...who }) {
    const [offset, { ends, epoch }] = [this._base / RATE, this.about];
    const shift = (/** @type {any} */ one) => ({ ...one, start: one.start + offset, end: one.end + offset });
    const words = told.map((/** @type {any} */ word) => shift({ ...word, speaker: this._speaker(word), speaker_name: undefined }));
    this._words.push(...words);
    if (text && end + offset > ends[channel ?? 0] + SAME_SECONDS) {
      const at = epoch + (start + offset) * 1000;
      const segment = { ...shift({ text, start, end, confidence }), words, channel, speaker: this._speaker(who), at };
      ends[channel ?? 0] = segment.end;
      this.about.duration = Math.max(this.about.duration, segment.end);
      keepSegment(this.about.id, this.segments.length, segment);
      this.keep();
      this.segments.push(segment);
      this._told.onFinal(segment);
    } else this._told.onPartial({ words: [], stable: 0, channel });
  }

  /**
   * A speaker of this session as one of the talk: a known one by the name, which is a number, or a new one.
   * @param {{speaker?: number, speaker_name?: string}} one
   */
  _speaker({ speaker, speaker_name }) {
    if (speaker !== undefined && !this._labels.has(speaker)) this._labels.set(speaker, Number(speaker_name ?? this.about.speakers++));
    return this._labels.get(speaker);
  }

  /**
   * Take what is known best of the speakers, when a session ends.
   * @param {{speakers: {speaker: number, speaker_name?: string, embedding?: string}[], words: number[]}} heard
   */
  _settle({ speakers, words: numbers }) {
    const words = this._words.slice(this._words.length - numbers.length); // another server may have told those before
    this._labels = match(words, numbers);
    for (const one of speakers) {
      if (one.speaker_name !== undefined) this._labels.set(one.speaker, Number(one.speaker_name));
      const number = this._speaker(one);
      if (number !== undefined && one.embedding) this.about.voices[number] = one.embedding;
    }
    const segments = this.segments.slice(this._first);
    const now = numbers.map((number) => this._labels.get(number));
    if (words.some(({ speaker }, index) => speaker !== now[index])) {
      relabel(words, now, segments);
      for (const [index, segment] of segments.entries()) keepSegment(this.about.id, this._first + index, segment);
      this._told.onSpeakers();
    }
    this.keep();
  }
}

/**
 * Own a talk for the life of this page; return whether no other page does.
 * @param {string} id
 * @returns {Promise<boolean>}
 */
function own(id) {
  if (!navigator.locks) return Promise.resolve(true);
  return new Promise((resolve) => {
    const held = new Promise((release) => addEventListener("pagehide", release, { once: true }));
    const signal = AbortSignal.timeout(OWNER_WAIT_MS);
    const have = () => {
      resolve(true);
      return held;
    };
    navigator.locks.request(`gigastt.${id}`, { signal }, have).catch(() => resolve(false));
  });
}
