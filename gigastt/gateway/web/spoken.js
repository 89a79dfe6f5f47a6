/** What is said in a talk, as it is shown: its paragraphs, the words on their way, and the names of who speaks. */

import { byId, make, shortClock } from "./dom.js";
import { People, rename, speakerClass, titleElement, titleOf, turnsOf } from "./speakers.js";

/** @typedef {import("./recording.js").SpokenSegment} SpokenSegment */

export class Spoken {
  /** @param {import("./recording.js").Recording} recording */
  constructor(recording) {
    this._recording = recording;
    const { names } = recording.about;
    this._people = new People(names, () => {
      rename(byId("spoken"), names);
      recording.keep();
    });
    byId("people").replaceChildren(this._people.element);
    this.redraw();
  }

  /** Show the paragraphs anew, which may have other speakers now. */
  redraw() {
    byId("spoken").replaceChildren();
    for (const segment of this._recording.segments) this.add(segment);
  }

  /** @param {SpokenSegment} segment */
  add(segment) {
    const box = byId("spoken");
    const follows = box.scrollTop + box.clientHeight > box.scrollHeight - 40; // a reader who scrolled up stays there
    for (const turn of turnsOf(segment)) {
      const time = make("time", { class: "time", title: shortClock(turn.start) }, dayTime(segment, turn.start));
      box.append(make("p", { class: speakerClass(turn) }, time, ...titleElement(turn, this._people.names), make("span", {}, turn.text)));
      this._people.see(turn);
    }
    if (follows) box.scrollTop = box.scrollHeight;
  }

  /** All of it as text, a line for each turn. */
  get text() {
    const { names } = this._people;
    const lines = this._recording.segments.flatMap((segment) =>
      turnsOf(segment).map((turn) => {
        const who = titleOf(turn, names);
        return `[${dayTime(segment, turn.start)}] ${who && `${who}: `}${turn.text}\n`;
      }),
    );
    return lines.join("");
  }

  /** Show nothing of it any more. */
  clear() {
    byId("spoken").replaceChildren();
    byId("people").replaceChildren();
  }
}

/**
 * Show the words on their way: stable ones in ink, the rest grey; a line for each channel.
 * @param {{words: {word: string}[], stable: number, channel?: number}} partial
 */
export function showPartial({ words, stable, channel = 0 }) {
  const box = byId("live");
  const text = (/** @type {{word: string}[]} */ some) => some.map(({ word }) => word).join(" ");
  while (box.childElementCount <= channel) {
    const colour = channel ? speakerClass({ channel: box.childElementCount }) : "";
    box.append(make("p", { class: colour }, make("span", { class: "stable" }), make("span", { class: "unstable faint" })));
  }
  const [settled, rest] = box.children[channel].children;
  settled.textContent = text(words.slice(0, stable));
  rest.textContent = (stable ? " " : "") + text(words.slice(stable));
}

/** The time of day of a moment of a segment. @param {SpokenSegment} segment @param {number} seconds */
function dayTime(segment, seconds) {
  const at = new Date(segment.at + (seconds - segment.start) * 1000);
  return at.toLocaleTimeString([], { hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23" });
}
