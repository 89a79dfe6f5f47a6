/** A file's transcript under its audio: a click on a word plays it, and the word being spoken is marked. */

import { make, shortClock } from "./dom.js";
import { say } from "./text.js";

export class TranscriptView {
  /** @param {File} file */
  constructor(file) {
    this._words = []; // {start, end, element}
    this._url = URL.createObjectURL(file);
    this._audio = make("audio", { controls: true, preload: "metadata", src: this._url, "aria-label": say("audio") });
    this._note = make("p", { class: "faint", hidden: true }, say("cannotPlay"));
    this._text = make("div", { class: "transcript", lang: "ru", tabIndex: 0, role: "group", "aria-label": say("transcript", file.name) });
    this._audio.addEventListener("error", () => {
      this._audio.hidden = true;
      this._note.hidden = false;
    });
    this._audio.addEventListener("play", () => this._follow());
    this._audio.addEventListener("seeked", () => this._mark());
    this._text.addEventListener("click", ({ target }) => {
      const at = target.dataset?.start;
      if (at && !getSelection()?.toString()) this._play(Number(at));
    });
    this.element = make("div", {}, this._audio, this._note, this._text);
  }

  /** @param {import("./forms.js").Segment} segment */
  add({ start, text, words }) {
    const time = shortClock(start);
    const paragraph = make("p", {}, make("button", { class: "time", "data-start": start, "aria-label": say("playFrom", time) }, time));
    if (!words.length) paragraph.append(text);
    for (const [index, word] of words.entries()) {
      const element = make("span", { class: "word", "data-start": word.start }, word.word);
      this._words.push({ start: word.start, end: word.end, element });
      paragraph.append(index ? " " : "", element);
    }
    this._text.append(paragraph);
  }

  /** @param {string} text */
  addNote(text) {
    this._text.append(make("p", { class: "faint" }, text));
  }

  /** Let go of the audio. */
  close() {
    this._audio.pause();
    URL.revokeObjectURL(this._url);
  }

  _play(seconds) {
    this._audio.currentTime = seconds;
    this._audio.play().catch(() => {});
  }

  _follow() {
    this._mark();
    if (!this._audio.paused) requestAnimationFrame(() => this._follow());
  }

  _mark() {
    const now = this._audio.currentTime;
    let [low, high] = [0, this._words.length]; // the last word that has begun is before `low` in the end
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this._words[middle].start <= now + 0.005) low = middle + 1;
      else high = middle;
    }
    const word = this._words[low - 1];
    const element = word && now < word.end + 0.3 ? word.element : null;
    if (element === this._now) return;
    this._now?.classList.remove("now");
    element?.classList.add("now");
    this._now = element;
  }
}
