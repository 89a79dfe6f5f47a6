/** Files: chosen, dropped or pasted ones, transcribed one after the other. */

import { byId, make, shortClock } from "./dom.js";
import { finish } from "./saved.js";
import { ask, events, Refusal } from "./server.js";
import { deleteTranscript, keepSegment, keepTranscript } from "./store.js";
import { say, sayError } from "./text.js";
import { TranscriptView } from "./transcript.js";

const MOST_KEPT_BYTES = 300e6; // of a file's audio; of a longer one its text is kept alone
const waiting = [];
let busy = false;

/** @param {() => void} onUnauthorized */
export function startFiles(onUnauthorized) {
  const drop = byId("drop");
  const add = (files) => {
    for (const file of files) waiting.push(new Item(file, onUnauthorized));
    work();
  };
  byId("choose").addEventListener("change", ({ target }) => {
    add([...target.files]);
    target.value = "";
  });
  document.addEventListener("dragover", (event) => {
    event.preventDefault();
    drop.classList.add("over");
  });
  document.addEventListener("dragleave", (event) => event.relatedTarget || drop.classList.remove("over"));
  document.addEventListener("drop", (event) => {
    event.preventDefault();
    drop.classList.remove("over");
    add([...event.dataTransfer.files]);
  });
  document.addEventListener("paste", (event) => add([...event.clipboardData.files]));
}

async function work() {
  if (busy) return;
  busy = true;
  for (let item = waiting.shift(); item; item = waiting.shift()) await item.transcribe();
  busy = false;
}

class Item {
  constructor(file, onUnauthorized) {
    this._file = file;
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
    const keep = (number) => keepSegment(this._id, number, view.segments[number]);
    const view = (this._transcript = new TranscriptView(this._file.name, this._file, keep));
    const failed = [];
    let duration = 0;
    this._state.textContent = say("sending");
    this._progress.removeAttribute("value");
    try {
      const response = await ask("/v1/transcribe/stream", { method: "POST", body: this._file, signal: this._stopper.signal });
      this._view.replaceChildren(view.element);
      let last = false;
      for await (const event of events(response)) {
        last = event.last ?? false;
        if (event.type === "progress") {
          duration = event.duration;
          this._progress.max = duration;
          this._progress.value = event.seconds;
          this._state.textContent = say("working", shortClock(event.seconds), shortClock(duration));
        } else if (event.type === "final" && event.text) {
          const { text, start, end, confidence, words } = event;
          view.add({ text, start, end, confidence, words });
        } else if (event.type === "error" && !last) {
          failed.push({ code: event.code, start: event.start, end: event.end });
          view.addNote(say("missing", shortClock(event.start), shortClock(event.end)));
        } else if (event.type === "error") throw new Refusal(event.code, event.message);
      }
      if (!last) throw new Refusal("network", "");
      this._end(failed, duration);
    } catch (error) {
      this._fail(error);
    }
  }

  async _end(failed, duration) {
    const [view, file] = [this._transcript, this._file];
    if (!view.segments.length) view.addNote(say("nothing"));
    this._state.textContent = say("ended", shortClock(duration));
    this._progress.hidden = true;
    finish(view, this._view, { title: file.name, duration, failed });
    this._offer("delete", () => this._remove());
    for (const [number, segment] of view.segments.entries()) await keepSegment(this._id, number, segment);
    const audio = file.size <= MOST_KEPT_BYTES ? file : undefined;
    await keepTranscript({ id: this._id, kind: "file", title: file.name, created: Date.now(), duration, failed, audio });
  }

  _fail(error) {
    const cancelled = this._stopper.signal.aborted;
    this._transcript.close();
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
