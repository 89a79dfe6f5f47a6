/** A transcript under its audio: a click on a word plays it, the word being spoken is marked, any word can be corrected. */

import { make, shortClock } from "./dom.js";
import { wordText } from "./forms.js";
import { rename, speakerClass, titleElement, turnsOf } from "./speakers.js";
import { say } from "./text.js";

const LATE_SECONDS = 0.3; // for how long after its end a word stays marked

/**
 * @typedef {import("./forms.js").Segment} Segment
 * @typedef {{word: import("./forms.js").Word, element: HTMLElement, number: number}} ShownWord `number`: of its segment
 */

export class TranscriptView {
  /**
   * @param {string} title
   * @param {Blob} [audio]
   * @param {(number: number) => void} [onCorrect] called with the number of a segment of which a word was corrected
   */
  constructor(title, audio, onCorrect = () => {}) {
    /** @type {Segment[]} */
    this.segments = [];
    /** @type {ShownWord[]} */
    this.words = []; // in their order
    /** @type {Record<number, string>} */
    this.names = {}; // of speakers, by their numbers
    /** @type {Element | null} */
    this._now = null; // the word being spoken
    /** @type {HTMLAudioElement | undefined} */
    this.audio = undefined;
    this._cursor = -1; // of the keyboard
    this._onCorrect = onCorrect;
    this._corrects = false;
    this._text = make("div", { class: "transcript", lang: "ru", tabIndex: 0, role: "group", "aria-label": say("transcript", title) });
    this._text.addEventListener("click", ({ target }) => this._press(target));
    this._text.addEventListener("keydown", (event) => this._key(event));
    this.element = make("div", {}, this._text);
    if (audio) this._openAudio(audio);
  }

  /** @param {Segment} segment */
  add(segment) {
    this.segments.push(segment);
    for (const turn of turnsOf(segment)) this._text.append(this._paragraph(turn, this.segments.length - 1));
  }

  /** Show the segments anew, whose words may have other speakers now. */
  redraw() {
    this.words = [];
    const notes = this._text.querySelectorAll("p.faint");
    const turns = this.segments.flatMap((segment, number) => turnsOf(segment).map((turn) => this._paragraph(turn, number)));
    this._text.replaceChildren(...turns, ...notes);
  }

  /** Call speakers by other names. @param {Record<number, string>} names */
  rename(names) {
    this.names = names;
    rename(this._text, names);
  }

  /** @param {Segment} turn of a segment, or all of it @param {number} number of the segment */
  _paragraph(turn, number) {
    const time = shortClock(turn.start);
    const button = make("button", { class: "time", "data-start": turn.start, "aria-label": say("playFrom", time) }, time);
    const paragraph = make("p", { class: speakerClass(turn) }, this.audio ? button : make("span", { class: "time" }, time), ...titleElement(turn, this.names));
    if (!turn.words.length) paragraph.append(turn.text);
    for (const [index, word] of turn.words.entries()) {
      const element = make("span", { class: "word", "data-word": this.words.length, "data-start": word.start }, wordText(word));
      element.classList.toggle("corrected", word.corrected !== undefined);
      this.words.push({ word, element, number });
      paragraph.append(index ? " " : "", element);
    }
    return paragraph;
  }

  /** @param {string} text */
  addNote(text) {
    this._text.append(make("p", { class: "faint" }, text));
  }

  /** @param {boolean} corrects whether a click corrects a word, and does not play it */
  set corrects(corrects) {
    this._corrects = corrects;
    this._text.classList.toggle("corrects", corrects);
  }

  /** Play from there, where there is audio. @param {number} seconds */
  play(seconds) {
    if (!this.audio) return;
    this.audio.currentTime = seconds;
    this.audio.play().catch(() => {});
  }

  /** Let go of the audio. */
  close() {
    this.audio?.pause();
    if (this._url) URL.revokeObjectURL(this._url);
  }

  /** @param {Blob} blob */
  _openAudio(blob) {
    this._url = URL.createObjectURL(blob);
    this.audio = make("audio", { controls: true, preload: "metadata", src: this._url, "aria-label": say("audio") });
    const note = make("p", { class: "faint", hidden: true }, say("cannotPlay"));
    this.audio.addEventListener("error", ({ target }) => ([/** @type {HTMLElement} */ (target).hidden, note.hidden] = [true, false]));
    this.audio.addEventListener("play", () => this._follow());
    this.audio.addEventListener("seeked", () => this._mark());
    this.element.prepend(this.audio, note);
  }

  /** @param {any} target */
  _press(target) {
    if (getSelection()?.toString()) return;
    const found = target.dataset?.word && this.words[Number(target.dataset.word)];
    if (found) this._cursor = Number(target.dataset.word);
    if (found && this._corrects) this._correct(found);
    else if (target.dataset?.start) this.play(Number(target.dataset.start));
  }

  /** Arrows go from word to word, Enter plays or corrects the one that is shown, F2 corrects it. @param {KeyboardEvent} event */
  _key(event) {
    if (event.target !== this._text || !this.words.length) return;
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    const at = this._cursor;
    if (step) this._point(Math.max(0, Math.min(this.words.length - 1, at + step)));
    else if (event.key === "F2" && at >= 0) this._correct(this.words[at]);
    else if (event.key === "Enter" && at >= 0) this._press(this.words[at].element);
    else return;
    event.preventDefault();
  }

  /** @param {number} index */
  _point(index) {
    this.words[this._cursor]?.element.classList.remove("cursor");
    this._cursor = index;
    this.words[index].element.classList.add("cursor");
    this.words[index].element.scrollIntoView({ block: "nearest" });
  }

  /** @param {ShownWord} shown */
  _correct({ word, element, number }) {
    const before = wordText(word);
    const field = make("input", { value: before, size: Math.max(4, before.length), "aria-label": say("correctWord", before) });
    element.replaceChildren(field);
    field.select();
    const end = (/** @type {boolean} */ keeps) => {
      if (!field.isConnected) return;
      const text = keeps ? field.value.trim() : before;
      element.replaceChildren(text);
      if (text === before) return;
      if (text === word.word) delete word.corrected;
      else word.corrected = text;
      element.classList.toggle("corrected", word.corrected !== undefined);
      this._onCorrect(number);
    };
    field.addEventListener("blur", () => end(true));
    field.addEventListener("keydown", ({ key }) => {
      if (key !== "Enter" && key !== "Escape") return;
      end(key === "Enter");
      this._text.focus();
    });
    field.focus();
  }

  _follow() {
    this._mark();
    if (this.audio && !this.audio.paused) requestAnimationFrame(() => this._follow());
  }

  _mark() {
    const now = this.audio?.currentTime ?? 0;
    let [low, high] = [0, this.words.length]; // the last word that has begun is before `low` in the end
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.words[middle].word.start <= now + 0.005) low = middle + 1;
      else high = middle;
    }
    const found = this.words[low - 1];
    const element = found && now < found.word.end + LATE_SECONDS ? found.element : null;
    if (element === this._now) return;
    this._now?.classList.remove("now");
    element?.classList.add("now");
    this._now = element;
  }
}
