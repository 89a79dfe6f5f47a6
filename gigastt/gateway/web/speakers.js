/** Who speaks in a transcript: turns, colours, and the names that a person gives. Numbers count from 0. */

import { make } from "./dom.js";
import { say } from "./text.js";

const COLOURS = 6; // in the style sheet

/**
 * The number of who speaks, which is a channel's where that is all that is known; undefined where nobody is told apart.
 * @param {{speaker?: number, channel?: number}} one
 */
export const speakerOf = ({ speaker, channel }) => speaker ?? channel;

/** A colour for who speaks, as a class. @param {{speaker?: number, channel?: number}} one */
export function speakerClass(one) {
  const number = speakerOf(one);
  return number === undefined ? "" : `speaker${number % COLOURS}`;
}

/**
 * A segment cut where its speaker changes.
 * @param {import("./forms.js").Segment} segment
 * @returns {import("./forms.js").Segment[]}
 */
export function turnsOf(segment) {
  /** @type {import("./forms.js").Word[][]} */
  const runs = [];
  for (const word of segment.words) {
    if (runs.at(-1)?.[0].speaker === word.speaker) runs.at(-1)?.push(word);
    else runs.push([word]);
  }
  if (runs.length < 2) return [segment];
  return runs.map((words, index) => {
    const start = index ? words[0].start : segment.start;
    const end = words === runs.at(-1) ? segment.end : words[words.length - 1].end;
    return { ...segment, text: words.map(({ word }) => word).join(" "), start, end, words, speaker: words[0].speaker };
  });
}

/**
 * Give words the speakers that are known at the end, and their segments those who say most of them.
 * @param {import("./forms.js").Word[]} words
 * @param {(number | undefined)[]} speakers of the words; undefined is nobody
 * @param {import("./forms.js").Segment[]} segments
 */
export function relabel(words, speakers, segments) {
  for (const [index, word] of words.entries()) word.speaker = speakers[index];
  for (const segment of segments) {
    const most = secondsOf([segment]).sort((one, other) => other.seconds - one.seconds);
    segment.speaker = most[0]?.speaker;
  }
}

/**
 * Who speaks, and for how many seconds, in the order of their numbers.
 * @param {import("./forms.js").Segment[]} segments
 * @returns {{speaker: number, seconds: number}[]}
 */
export function secondsOf(segments) {
  /** @type {Record<number, number>} */
  const seconds = {};
  for (const { words, channel } of segments) {
    for (const { speaker = channel, start, end } of words) if (speaker !== undefined) seconds[speaker] = (seconds[speaker] ?? 0) + end - start;
  }
  return Object.entries(seconds).map(([speaker, sum]) => ({ speaker: Number(speaker), seconds: Math.round(sum * 100) / 100 }));
}

/**
 * For each number of a speaker that is told at the end, the one that most of the words had before, each of those once.
 * @param {import("./forms.js").Word[]} words
 * @param {number[]} numbers of the words; -1 is nobody
 */
export function match(words, numbers) {
  /** @type {Map<string, number>} */
  const shared = new Map();
  for (const [index, { speaker }] of words.entries()) {
    const pair = `${numbers[index]} ${speaker}`;
    if (numbers[index] >= 0 && speaker !== undefined) shared.set(pair, (shared.get(pair) ?? 0) + 1);
  }
  /** @type {Map<number, number>} */
  const matched = new Map();
  for (const [pair] of [...shared].sort(([, one], [, other]) => other - one)) {
    const [number, before] = pair.split(" ").map(Number);
    if (!matched.has(number) && ![...matched.values()].includes(before)) matched.set(number, before);
  }
  return matched;
}

/** The speakers of one transcript, each with a field for a name. */
export class People {
  /**
   * @param {Record<number, string>} names changed in place
   * @param {() => void} onNamed
   */
  constructor(names, onNamed) {
    this.names = names;
    this._onNamed = onNamed;
    /** @type {number[]} */
    this._seen = []; // in the order of the fields
    this._fields = make("div", { class: "row" });
    this.element = make("div", { class: "people", hidden: true }, make("span", { class: "faint" }, say("people")), this._fields);
  }

  /** Have a field for who speaks there. @param {{speaker?: number, channel?: number}} one */
  see(one) {
    const number = speakerOf(one);
    if (number === undefined || this._seen.includes(number)) return;
    this._seen = [...this._seen, number].sort((a, b) => a - b);
    const usual = say("speaker", number + 1);
    const field = make("input", { value: this.names[number] ?? "", placeholder: usual, "aria-label": say("nameOf", usual), maxLength: 60, class: speakerClass(one) });
    field.addEventListener("change", () => {
      const name = field.value.trim();
      if (name) this.names[number] = name;
      else delete this.names[number];
      this._onNamed();
    });
    this._fields.insertBefore(field, this._fields.children[this._seen.indexOf(number)] ?? null);
    this.element.hidden = false;
  }
}

/**
 * What a reader is told of who speaks; empty where nobody is told apart.
 * @param {{speaker?: number, channel?: number}} one
 * @param {Record<number, string>} [names]
 */
export function titleOf(one, names = {}) {
  const number = speakerOf(one);
  return number === undefined ? "" : (names[number] ?? say("speaker", number + 1));
}

/**
 * The title as an element before words; none where nobody is told apart.
 * @param {{speaker?: number, channel?: number}} one
 * @param {Record<number, string>} names
 */
export function titleElement(one, names) {
  const number = speakerOf(one);
  return number === undefined ? [] : [make("b", { class: "who", "data-who": String(number) }, titleOf(one, names))];
}

/** Write names anew that have changed. @param {HTMLElement} box @param {Record<number, string>} names */
export function rename(box, names) {
  const titles = /** @type {NodeListOf<HTMLElement>} */ (box.querySelectorAll(".who"));
  for (const element of titles) element.textContent = titleOf({ speaker: Number(element.dataset.who) }, names);
}
