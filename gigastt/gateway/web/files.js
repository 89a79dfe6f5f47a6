/** Files: chosen, dropped or pasted ones, transcribed one after the other. */

import { byId, make, shortClock } from "./dom.js";
import { hotwords } from "./hotwords.js";
import { finish } from "./saved.js";
import { Refusal, sendFile } from "./server.js";
import { relabel } from "./speakers.js";
import { deleteTranscript, keepSegment, keepTranscript } from "./store.js";
import { say, sayError } from "./text.js";
import { TranscriptView } from "./transcript.js";

const MOST_KEPT_BYTES = 300e6; // of a file's audio; of a longer one its text is kept alone
/** @type {Item[]} */
const waiting = [];
let busy = false;

/** @param {() => void} onUnauthorized */
export function startFiles(onUnauthorized) {
  const drop = byId("drop");
  const add = (/** @type {Iterable<File>} */ files) => {
    for (const file of files) waiting.push(new Item(file, onUnauthorized));
    work();
  };
  const choose = byId("choose");
  choose.addEventListener("change", () => {
    add([...choose.files]);
    choose.value = "";
  });
  document.addEventListener("dragover", (event) => {
    event.preventDefault();
    drop.classList.add("over");
  });
  document.addEventListener("dragleave", (event) => event.relatedTarget || drop.classList.remove("over"));
  document.addEventListener("drop", (event) => {
    event.preventDefault();
    drop.classList.remove("over");
    add(event.dataTransfer?.files ?? []);
  });
  document.addEventListener("paste", (event) => add(event.clipboardData?.files ?? []));
}

async function work() {
  if (busy) return;
  busy = true;
  for (let item = waiting.shift(); item; item = waiting.shift()) await item.transcribe();
  busy = false;
}

class Item {
  /** @param {File} file @param {() => void} onUnauthorized */
  constructor(file, onUnauthorized) {
    this._file = file;
    this._id = "";
    this._stopper = new AbortController();
    /** @type {TranscriptView | undefined} */
    this._transcript = undefined;
    this._tellsApart = byId("filesApart").checked;
    this._hotwords = hotwords();
    this._onUnauthorized = onUnauthorized;
    this._state = make("span", { class: "faint", role: "status" }, say("waiting"));
    this._progress = make("progress", { max: 1, value: 0, "aria-label": file.name });
    this._stop = make("button", { class: "small" });
    this._error = make("p", { class: "error", role: "alert" });
    this._view = make("div");
    this._element = make(
      "article",
      { class: "file", "aria-label": file.name },
      make("div", { class: "row" }, make("h3", {}, file.name), this._state, this._stop),
      this._progress,
      this._error,
      this._view,
    );
    this._offer("cancel", () => this._cancel());
    byId("queue").append(this._element);
  }

  async transcribe() {
    this._stopper = new AbortController();
    this._id = crypto.randomUUID?.() ?? `${Date.now()}-${Math.random()}`;
    const keep = (/** @type {number} */ number) => keepSegment(this._id, number, view.segments[number]);
    const view = new TranscriptView(this._file.name, this._file, keep);
    this._transcript = view;
    /** @type {{code: string, start: number, end: number}[]} */
    const failed = [];
    let duration = 0;
    this._showSent(0);
    try {
      this._view.replaceChildren(view.element);
      let last = false;
      const path = `/v1/transcribe/stream${this._tellsApart ? "?diarization=true" : ""}`;
      const showSent = (/** @type {number} */ share) => this._showSent(share);
      for await (const event of sendFile(path, this._file, this._hotwords, this._stopper.signal, showSent)) {
        last = event.last ?? false;
        if (event.type === "progress") {
          duration = event.duration;
          this._progress.max = duration;
          this._progress.value = event.seconds;
          this._state.textContent = say("working", shortClock(event.seconds), shortClock(duration));
        } else if (event.type === "final" && event.text) {
          const { text, start, end, confidence, words, speaker } = event;
          view.add({ text, start, end, confidence, words, speaker });
        } else if (event.type === "speakers") {
          relabel(view.words.map(({ word }) => word), event.words.map((/** @type {number} */ number) => (number < 0 ? undefined : number)), view.segments);
          view.redraw();
        } else if (event.type === "hotwords") view.addNote(sayError("unusable_hotwords", event.unusable.join(", ")));
        else if (event.type === "error" && !last) {
          failed.push({ code: event.code, start: event.start, end: event.end });
          view.addNote(say("missing", shortClock(event.start), shortClock(event.end)));
        } else if (event.type === "error") throw new Refusal(event.code, event.message);
      }
      if (!last) throw new Refusal("network", "");
      this._end(view, failed, duration);
    } catch (error) {
      this._fail(error);
    }
  }

  /** @param {number} share of the file */
  _showSent(share) {
    [this._progress.max, this._progress.value] = [1, share];
    this._state.textContent = share < 1 ? say("sending", Math.floor(share * 100)) : say("reading");
    if (share === 1) this._progress.removeAttribute("value");
  }

  /** @param {TranscriptView} view @param {{code: string, start: number, end: number}[]} failed @param {number} duration */
  async _end(view, failed, duration) {
    const file = this._file;
    if (!view.segments.length) view.addNote(say("nothing"));
    this._state.textContent = say("ended", shortClock(duration));
    this._progress.hidden = true;
    const audio = file.size <= MOST_KEPT_BYTES ? file : undefined;
    /** @type {import("./store.js").About} */
    const about = { id: this._id, kind: "file", title: file.name, created: Date.now(), duration, failed, audio, names: view.names };
    finish(view, this._view, { ...about, title: file.name }, () => keepTranscript(about));
    this._offer("delete", () => this._remove());
    for (const [number, segment] of view.segments.entries()) await keepSegment(this._id, number, segment);
    await keepTranscript(about);
  }

  /** @param {any} error */
  _fail(error) {
    const cancelled = this._stopper.signal.aborted;
    this._transcript?.close();
    this._view.replaceChildren();
    this._progress.hidden = true;
    this._state.textContent = cancelled ? say("cancelled") : "";
    const code = error instanceof Refusal ? error.code : "internal";
    this._error.textContent = cancelled ? "" : sayError(code, code === "unauthorized" || code === "network" ? "" : error.message);
    if (code === "unauthorized") this._onUnauthorized();
    this._offer("again", () => {
      this._error.textContent = "";
      this._progress.hidden = false;
      this._offer("cancel", () => this._cancel());
      this._state.textContent = say("waiting");
      waiting.push(this);
      work();
    });
  }

  /** Let the one button do something. @param {"cancel" | "again" | "delete"} name @param {() => void} act */
  _offer(name, act) {
    this._stop.textContent = say(name);
    this._stop.onclick = act;
  }

  _cancel() {
    const index = waiting.indexOf(this);
    if (index < 0) {
      this._stopper.abort();
      return;
    }
    waiting.splice(index, 1);
    this._remove();
  }

  _remove() {
    this._transcript?.close();
    if (this._id) deleteTranscript(this._id);
    this._element.remove();
  }
}
