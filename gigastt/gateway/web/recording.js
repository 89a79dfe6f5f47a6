/**
 * A talk: its live transcript, kept in this browser with the audio that no final covers yet. A reload, a crash of the
 * browser or an absence of the server loses nothing that was recorded: the audio is sent when there is a server again.
 *
 * Times are seconds of recorded audio since the talk began, also over several starts and stops.
 */

import { RATE } from "./resampler.js";
import { Session } from "./session.js";
import { allTranscripts, dropPieces, keepPiece, keepSegment, keepTranscript, keptPieces, segmentsOf } from "./store.js";

const OWNER_WAIT_MS = 5_000; // a page that is being reloaded may own its talk for a moment yet

/**
 * @typedef {object} Told
 * @property {(state: "connecting" | "open" | "lost" | "done") => void} onState
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
    this.about = kept ?? { id: crypto.randomUUID(), kind: "talk", created, epoch: created, duration: 0, channels: 1, open: true };
    this.segments = [];
    this._frames = 0; // recorded in all
    this._session = null;
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
    const pieces = this._pieces ?? [];
    this._pieces = null;
    if (!pieces.length) return false;
    this._open(this.about.channels, pieces[0].at);
    for (const { pcm } of pieces) this._session.push(pcm);
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
      this._open(channels, this._frames);
    }
    keepPiece(this.about.id, this._frames, pcm);
    this._frames += pcm.length / channels;
    this._session.push(pcm);
  }

  stop() {
    this._session?.stop();
  }

  abandon() {
    this._session?.abandon();
  }

  /** The talk is over: what is kept of it is a transcript like any other. */
  async end() {
    this.about.open = false;
    await keepTranscript(this.about);
  }

  _open(channels, base) {
    this.about.channels = channels;
    keepTranscript(this.about);
    this._session = new Session(this.about.id, channels, {
      onState: (state) => {
        if (state === "done") {
          this._session = null;
          dropPieces(this.about.id);
        }
        this._told.onState(state);
      },
      onPartial: this._told.onPartial,
      onFinal: (final) => this._add(final, base / RATE),
      onSettled: (frame) => dropPieces(this.about.id, base + frame),
      onError: this._told.onError,
    });
  }

  _add(final, offset) {
    const shifted = (one) => ({ ...one, start: one.start + offset, end: one.end + offset });
    if (final.text) {
      const segment = { ...shifted(final), words: final.words.map(shifted), at: this.about.epoch + (final.start + offset) * 1000 };
      this.about.duration = Math.max(this.about.duration, segment.end);
      keepSegment(this.about.id, this.segments.length, segment);
      keepTranscript(this.about);
      this.segments.push(segment);
      this._told.onFinal(segment);
    }
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
