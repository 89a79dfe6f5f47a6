/**
 * A transcript as a file to take along, as `POST /v1/transcribe?format=` writes it.
 *
 * @typedef {{word: string, start: number, end: number, confidence: number}} Word
 * @typedef {{text: string, start: number, end: number, confidence: number, words: Word[]}} Segment
 * @typedef {{text: string, words: Word[], duration: number, segments: Segment[]}} Transcript
 */

const LINE_CHARACTERS = 42;
const CUE_LINES = 2;
const CUE_SECONDS = 7;
const PAUSE_SECONDS = 1;

/** Writers by the ending of the file. @type {Record<string, (transcript: Transcript) => string>} */
export const FORMS = {
  txt: ({ segments }) => segments.map(({ text }) => `${text}\n`).join(""),
  srt: ({ segments }) => cues(segments, ","),
  vtt: ({ segments }) => `WEBVTT\n\n${cues(segments, ".")}`,
  md: ({ segments }) => segments.map(({ start, text }) => `**[${clock(start)}]** ${text}\n\n`).join(""),
  json: (transcript) => `${JSON.stringify(transcript)}\n`,
};

/** Let the browser save a text. */
export function save(name, text) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([text], { type: "text/plain;charset=utf-8" }));
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}

/** Seconds as 00:12:34, with a separator and milliseconds where one is given. */
export function clock(seconds, separator = "") {
  const two = (number) => String(Math.floor(number)).padStart(2, "0");
  const all = separator ? Math.round(seconds * 1000) : Math.floor(seconds) * 1000;
  const whole = Math.floor(all / 1000);
  const text = `${two(whole / 3600)}:${two((whole / 60) % 60)}:${two(whole % 60)}`;
  return separator ? `${text}${separator}${String(all % 1000).padStart(3, "0")}` : text;
}

function cues(segments, separator) {
  const groups = segments.flatMap(({ words }) => {
    const found = [];
    for (const word of words) {
      const group = found.at(-1);
      if (group && !isFull(group, word)) group.push(word);
      else found.push([word]);
    }
    return found;
  });
  return groups
    .map((group, index) => {
      const [start, end] = [group[0].start, Math.max(group.at(-1).end, group[0].start)];
      const text = wrap(textOf(group)).join("\n");
      const safe = separator === "." ? text.replace(/&/g, "&amp;").replace(/</g, "&lt;").replace(/>/g, "&gt;") : text;
      return `${index + 1}\n${clock(start, separator)} --> ${clock(end, separator)}\n${safe}\n\n`;
    })
    .join("");
}

const textOf = (group) => group.map(({ word }) => word).join(" ");

function isFull(group, word) {
  const text = textOf(group);
  return (
    wrap(`${text} ${word.word}`).length > CUE_LINES ||
    word.end - group[0].start > CUE_SECONDS ||
    word.start - group.at(-1).end > PAUSE_SECONDS ||
    (/[.?!…]$/.test(text) && [...text].length >= LINE_CHARACTERS)
  );
}

function wrap(text) {
  const lines = [];
  for (const word of text.split(/\s+/).filter(Boolean)) {
    const longer = `${lines.at(-1)} ${word}`;
    if (lines.length && [...longer].length <= LINE_CHARACTERS) lines[lines.length - 1] = longer;
    else lines.push(word);
  }
  return lines;
}
