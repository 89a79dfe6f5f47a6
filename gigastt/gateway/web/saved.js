/** The transcripts that this browser keeps: a list, each opened when somebody wants to see it. */

import { byId, make, shortClock } from "./dom.js";
import { People, turnsOf } from "./speakers.js";
import { allTranscripts, deleteTranscript, keepSegment, keepTranscript, onStoreFailure, segmentsOf } from "./store.js";
import { say } from "./text.js";
import { timeline } from "./timeline.js";
import { tools } from "./tools.js";
import { TranscriptView } from "./transcript.js";

/** @type {Map<string, HTMLElement>} */
const shown = new Map(); // by id

/** @param {(id: string) => boolean} isElsewhere whether the page shows that one in another place */
export async function startSaved(isElsewhere) {
  onStoreFailure(() => (byId("notKept").hidden = false));
  byId("deleteAll").addEventListener("click", async () => {
    if (!confirm(say("sureAll"))) return;
    for (const [id, element] of shown) await remove(id, element);
  });
  for (const about of (await allTranscripts()).toReversed()) if (!isElsewhere(about.id)) list(about);
}

/** Show a transcript that is kept now at the head of the list. @param {string} id */
export async function showSaved(id) {
  const about = (await allTranscripts()).find((one) => one.id === id);
  if (about) list(about);
}

/** @param {import("./store.js").About} about */
function list(about) {
  const { id, created, duration } = about;
  const date = new Date(created).toLocaleString([], { dateStyle: "medium", timeStyle: "short" });
  const title = about.title ?? say("talkOf", date);
  const body = make("div");
  const summary = make("summary", {}, make("span", { class: "title" }, title), make("span", { class: "faint" }, about.title ? `${date} · ` : "", shortClock(duration)));
  const element = make("details", { class: "saved" }, summary, body);
  element.addEventListener("toggle", async () => {
    if (!element.open || body.childElementCount) return;
    const view = new TranscriptView(title, about.audio, (number) => keepSegment(id, number, view.segments[number]));
    view.names = about.names ??= {};
    for (const segment of await segmentsOf(id)) view.add(segment);
    const button = make("button", { class: "small", onclick: () => confirm(say("sure")) && remove(id, element) }, say("delete"));
    finish(view, body, { ...about, title }, () => keepTranscript(about), button);
  });
  shown.set(id, element);
  byId("list").prepend(element);
  byId("saved").hidden = false;
}

/**
 * Show a whole transcript with what can be done with it.
 * @param {TranscriptView} view
 * @param {HTMLElement} body
 * @param {{title: string, duration: number, failed?: object[]}} about
 * @param {() => void} onNamed called when `view.names` have changed
 * @param {...HTMLElement} buttons
 */
export function finish(view, body, { title, duration, failed }, onNamed, ...buttons) {
  const { segments, names } = view;
  const bar = tools(view, () => ({ title, duration, segments, failed, names }));
  bar.lastElementChild?.append(...buttons);
  const people = new People(names, () => {
    view.rename(names);
    onNamed();
  });
  for (const turn of segments.flatMap(turnsOf)) people.see(turn);
  body.replaceChildren(...(segments.length ? [timeline(view, duration)] : []), people.element, view.element, bar);
}

/** @param {string} id @param {HTMLElement} element */
async function remove(id, element) {
  await deleteTranscript(id);
  element.remove();
  shown.delete(id);
  byId("saved").hidden = !shown.size;
}
