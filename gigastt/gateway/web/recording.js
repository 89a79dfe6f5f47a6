/**
 * A talk: its live transcript, kept in this browser with the audio that no final covers yet. A reload, a crash of the
 * browser or an absence of the server loses nothing that was recorded: the audio is sent when there is a server again.
 *
 * Times are seconds of recorded audio since the talk began, also over several starts and stops.
 */

import { LiveSession } from "./client.js";
import { RATE } from "./resampler.js";
import { subprotocols } from "./server.js";
import { allTranscripts, dropPieces, keepPiece, keepSegment, keepTranscript, keptPieces, segmentsOf } from "./store.js";

const MOST_SECONDS = 3_600; // of audio that waits for a server
const SAME_SECONDS = 0.05; // finals that end so close to each other are the same
const OWNER_WAIT_MS = 5_000; // a page that is being reloaded may own its talk for a moment yet

/**
 * @typedef {object} Told
 * @property {(state: "connecting" | "open" | "lost" | "done" | "failed") => void} onState
 * @property {(message: {words: {word: string}[], stable: number, channel?: number}) => void} onPartial
 * @property {(segment: import("./forms.js").Segment & {at: number}) => void} onFinal `at`: when it was said
 * @property {(code: string, message: string) => void} onError
 */

export class Recording {
  /**
   * @param {Told} told
   * @param {object} [kept] what the store has of it
   */
  constructor(told, kept) {
    this._told = told;
    const created = Date.now();
    this.about = kept ?? { id: crypto.randomUUID(), kind: "talk", created, epoch: created, duration: 0, channels: 1, ends: [0, 0], open: true };
    this.segments = [];
    this._frames = 0; // recorded in all
    this._session = null;
    this._pieces = []; // recorded and kept, but not given to a session
    this._dropped = 0; // frames before which no audio is kept
    this._shown = new Map(); // by channel, what was shown last and no final has replaced
  }

  /**
   * Take up the talk that was not ended, with its segments; null if there is none, or another tab has it.
   * @param {Told} told
   */
  static async restore(told) {
    for (const about of await allTranscripts()) {
      if (about.kind !== "talk" || !about.open || !(await own(about.id))) continue;
      const recording = new Recording(told, about);
      recording.segments = await segmentsOf(about.id);
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
    this._open(this.about.channels, pieces[0].at);
    for (const { pcm } of pieces) this._session.send(pcm);
    return true;
  }

  /**
   * Take a piece of audio.
   * @param {Int16Array} pcm interleaved
   * @param {number} channels
   */
  push(pcm, channels) {
    if (!this._session) {
      if (!this.segments.length) own(this.about.id);
      this.about.epoch = Date.now() - (this._frames / RATE) * 1000;
      if (!this.sendKept()) this._open(channels, this._frames);
    }
    keepPiece(this.about.id, this._frames, pcm);
    this._frames += pcm.length / channels;
    this._session.send(pcm);
    const settled = this._base + this._session.settled;
    if (settled > this._dropped) dropPieces(this.about.id, (this._dropped = settled));
  }

  stop() {
    this._session?.stop();
  }

  /** Let go at once; what was shown last becomes a segment. */
  abandon() {
    for (const shown of this._shown.values()) this._add(shown);
    this._session?.abandon();
  }

  /** The talk is over: what is kept of it is a transcript like any other. */
  async end() {
    this.about.open = false;
    await keepTranscript(this.about);
  }

  _open(channels, base) {
    this._base = base;
    this.about.channels = channels;
    keepTranscript(this.about);
    this._session = new LiveSession(new URL(`/v1/ws?captions=${this.about.id}`, location.href.replace(/^http/, "ws")), {
      configure: { sample_rate: RATE, channels },
      protocols: subprotocols,
      mostSeconds: MOST_SECONDS,
      onState: (state) => this._turn(state),
      onMessage: (message) => this._take(message),
    });
  }

  async _turn(state) {
    if (state === "done" || state === "failed") {
      this._session = null;
      this._shown.clear();
      if (state === "done") dropPieces(this.about.id);
      else this._pieces = await keptPieces(this.about.id);
    }
    this._told.onState(state);
  }

  _take(message) {
    const { type, channel = 0, text, words } = message;
    if (type === "partial") {
      if (text) this._shown.set(channel, { ...message, start: words[0]?.start ?? 0, end: words.at(-1)?.end ?? 0 });
      else this._shown.delete(channel);
      this._told.onPartial(message);
    } else if (type === "final") {
      this._shown.delete(channel);
      this._add(message);
    } else if (type === "error") this._told.onError(message.code, message.message);
  }

  /** Add what was said, unless the talk has it from before a reload. */
  _add({ text, start, end, confidence = 0, words, channel, speaker }) {
    const [offset, { ends, epoch }] = [this._base / RATE, this.about];
    const shift = (one) => ({ ...one, start: one.start + offset, end: one.end + offset });
    if (text && end + offset > ends[channel ?? 0] + SAME_SECONDS) {
      const at = epoch + (start + offset) * 1000;
      const segment = { ...shift({ text, start, end, confidence }), words: words.map(shift), channel, speaker, at };
      ends[channel ?? 0] = segment.end;
      this.about.duration = Math.max(this.about.duration, segment.end);
      keepSegment(this.about.id, this.segments.length, segment);
      keepTranscript(this.about);
      this.segments.push(segment);
      this._told.onFinal(segment);
    } else this._told.onPartial({ words: [], stable: 0, channel });
  }
}

/** Own a talk for the life of this page; return whether no other page does. */
function own(id) {
  if (!navigator.locks) return Promise.resolve(true);
  return new Promise((resolve) => {
    const held = new Promise((release) => addEventListener("pagehide", release, { once: true }));
    const signal = AbortSignal.timeout(OWNER_WAIT_MS);
    navigator.locks.request(`gigastt.${id}`, { signal }, () => (resolve(true), held)).catch(() => resolve(false));
  });
}
