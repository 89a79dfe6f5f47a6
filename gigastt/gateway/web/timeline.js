/** A transcript as a picture over time: speech and pauses, a row for each speaker, unsure words in another colour. */

import { draw, shortClock } from "./dom.js";
import { speakerClass, speakerOf } from "./speakers.js";
import { say } from "./text.js";

const UNSURE = 0.6; // confidence below which a word is drawn as unsure
const PAUSE_SECONDS = 1;

/**
 * @param {import("./transcript.js").TranscriptView} view a click on the picture plays its audio from there
 * @param {number} duration in seconds
 */
export function timeline(view, duration) {
  const { segments, audio } = view;
  const words = segments.flatMap((segment) => segment.words.map((word) => ({ ...word, who: speakerOf({ ...segment, ...word }) })));
  const speakers = [...new Set(words.map(({ who }) => who))].sort((one, other) => (one ?? -1) - (other ?? -1));
  const rows = Math.max(1, speakers.length);
  const path = (/** @type {string} */ kind, /** @type {(import("./forms.js").Word & {who?: number})[]} */ some) => draw("path", { class: kind, d: some.map((word) => bar(word, speakers.indexOf(word.who))).join("") });
  const sure = words.filter(({ confidence }) => confidence >= UNSURE);
  const cursor = draw("path", { class: "cursor", d: "" });
  const picture = draw(
    "svg",
    { class: "timeline", viewBox: `0 0 ${duration} ${rows}`, preserveAspectRatio: "none", role: "img", "aria-label": describe(segments, words, duration) },
    ...speakers.map((speaker) => path(`sure ${speakerClass({ speaker })}`, sure.filter(({ who }) => who === speaker))),
    path("unsure", words.filter(({ confidence }) => confidence < UNSURE)),
    cursor,
  );
  const point = () => cursor.setAttribute("d", `M${audio?.currentTime} 0v${rows}`);
  audio?.addEventListener("timeupdate", point);
  audio?.addEventListener("seeked", point);
  picture.addEventListener("click", (event) => {
    const { left, width } = picture.getBoundingClientRect();
    view.play(((event.clientX - left) / width) * duration);
  });
  return picture;
}

/** A word as a bar, the higher the surer. @param {import("./forms.js").Word} word @param {number} row */
function bar({ start, end, confidence }, row) {
  const height = 0.25 + 0.7 * confidence;
  return `M${start} ${row + (1 - height) / 2}h${(end - start).toFixed(2)}v${height.toFixed(2)}H${start}z`;
}

/**
 * What the picture shows, for those who do not see it.
 * @param {import("./forms.js").Segment[]} segments
 * @param {import("./forms.js").Word[]} words
 * @param {number} duration
 */
function describe(segments, words, duration) {
  const speech = segments.reduce((sum, { start, end }) => sum + end - start, 0);
  const pauses = words.filter(({ start }, index) => index && start - words[index - 1].end > PAUSE_SECONDS).length;
  const unsure = words.filter(({ confidence }) => confidence < UNSURE).length;
  return say("timeline", shortClock(speech), shortClock(duration), pauses, unsure, words.length);
}
