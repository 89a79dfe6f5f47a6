/** What can be done with a transcript: search in it, correct it, copy it, take it along. */

import { make } from "./dom.js";
import { FORMS, plainText, save, wordText } from "./forms.js";
import { say } from "./text.js";

/**
 * @param {import("./transcript.js").TranscriptView} view
 * @param {() => import("./forms.js").Transcript} transcript what it is when something is done with it
 */
export function tools(view, transcript) {
  const stem = transcript().title.replace(/\.[^.]*$/, "");
  const forms = Object.entries(FORMS).map(([ending, write]) =>
    make("button", { class: "small", "data-form": ending, onclick: () => save(`${stem}.${ending}`, write(transcript())) }, ending.toUpperCase()),
  );
  const correct = make("button", { class: "small", "aria-pressed": "false", onclick: () => {
    const on = correct.getAttribute("aria-pressed") === "false";
    correct.setAttribute("aria-pressed", String(on));
    view.corrects = on;
  } }, say("correct"));
  const copy = make("button", { class: "small", hidden: !navigator.clipboard, onclick: async () => {
    await navigator.clipboard.writeText(plainText(transcript()));
    copy.textContent = say("copied");
  } }, say("copy"));
  return make(
    "div",
    { class: "tools" },
    make("div", { class: "row" }, ...search(view), correct, copy),
    make("div", { class: "row", role: "group", "aria-label": say("downloads") }, `${say("downloads")}:`, ...forms),
  );
}

/** Letters and digits that are compared: case, ё and punctuation make no difference. */
const plain = (/** @type {string} */ text) => text.toLowerCase().replaceAll("ё", "е").replace(/[^\p{L}\p{N}]+/gu, "");

/** A field that marks what is found, and goes from one to the next on Enter. @param {import("./transcript.js").TranscriptView} view */
function search(view) {
  const count = make("span", { class: "faint", role: "status" });
  /** @type {number[]} */
  let found = []; // of each occurrence its first word
  let at = 0;
  const go = (/** @type {number} */ index) => {
    view.words[found[at]]?.element.classList.remove("chosen");
    at = (index + found.length) % found.length;
    const { element } = view.words[found[at]];
    element.classList.add("chosen");
    element.scrollIntoView({ block: "center" });
    count.textContent = say("found", at + 1, found.length);
  };
  const look = () => {
    for (const { element } of view.words) element.classList.remove("found", "chosen");
    const wanted = field.value.split(/\s+/).map(plain).filter(Boolean);
    const words = wanted.length ? view.words.map(({ word }) => plain(wordText(word))) : [];
    found = [];
    for (let index = 0; index + wanted.length <= words.length && wanted.length; index++) {
      if (!wanted.every((part, offset) => words[index + offset].includes(part))) continue;
      found.push(index);
      for (let offset = 0; offset < wanted.length; offset++) view.words[index + offset].element.classList.add("found");
    }
    count.textContent = wanted.length && !found.length ? say("notFound") : "";
    if (found.length) go(0);
  };
  const field = make("input", { type: "search", "aria-label": say("search"), placeholder: say("search"), oninput: look });
  field.addEventListener("keydown", ({ key, shiftKey }) => key === "Enter" && found.length && go(at + (shiftKey ? -1 : 1)));
  return [field, count];
}
