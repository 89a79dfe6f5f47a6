/** Talk: the microphone and perhaps a tab, on and off, and what becomes of what was said. */

import { Capture, canCapture, canCaptureTab, levels, listMicrophones, openMicrophone, openTab } from "./capture.js";
import { byId, make } from "./dom.js";
import { save } from "./forms.js";
import { startLink } from "./link.js";
import { Recording } from "./recording.js";
import { showPartial, Spoken } from "./spoken.js";
import { say, sayError } from "./text.js";

/** @typedef {import("./recording.js").State} State */

const RECORDS = "gigastt.records"; // in sessionStorage while the microphone is on: a reload goes on with it
const button = byId("microphone");
/** @type {Capture | null} */
let capture = null;
/** @type {{recording: Recording, spoken: Spoken} | null} */
let talk = null;
/** @type {State} */
let state = "done";
/** @type {WakeLockSentinel | null | undefined} */
let lock = null;
let onLost = () => {};

/** @type {import("./recording.js").Told} */
const told = {
  onState(now, why) {
    state = now;
    if (now === "lost" || now === "failed") onLost();
    if (now === "open") showError("", "server");
    if (why) showError(sayError(why.code, why.message), "server");
    if (now === "failed") {
      showError([byId("talkError").textContent, say("talkFailed")].filter(Boolean).join(" "));
      if (capture) stop();
    }
    if (now === "done" || now === "failed") byId("live").replaceChildren();
    showConnection();
    show();
  },
  onPartial: showPartial,
  onFinal(segment) {
    showPartial({ words: [], stable: 0, channel: segment.channel });
    talk?.spoken.add(segment);
  },
  onSpeakers: () => talk?.spoken.redraw(),
  onError: (code, message) => showError(sayError(code, message), "server"),
};

/**
 * @param {() => void} onGone called when the server may be away, or ask for a key
 * @param {(id: string) => void} onSaved called with a talk that is over
 */
export async function startTalk(onGone, onSaved) {
  onLost = onGone;
  button.addEventListener("click", () => (capture ? stop() : talk?.recording.isRunning ? talk.recording.abandon() : start()));
  byId("copySpoken").addEventListener("click", async () => {
    await navigator.clipboard.writeText(talk?.spoken.text ?? "");
    byId("copySpoken").textContent = say("copied");
    setTimeout(() => (byId("copySpoken").textContent = say("copy")), 2000);
  });
  byId("copySpoken").hidden = !navigator.clipboard;
  byId("saveSpoken").addEventListener("click", () => save("gigastt.txt", talk?.spoken.text ?? ""));
  byId("newTalk").addEventListener("click", () => end(onSaved));
  byId("withTab").addEventListener("change", show);
  startLink(talkId);
  document.addEventListener("visibilitychange", () => !document.hidden && capture && stayAwake());
  show();
  if (!canCapture()) {
    button.disabled = true;
    return;
  }
  byId("tabSource").hidden = !canCaptureTab();
  navigator.mediaDevices.addEventListener("devicechange", showDevices);
  showDevices();
  button.disabled = true; // or a talk might begin that the one before takes the place of
  const restored = await Recording.restore(told);
  button.disabled = false;
  if (restored) await goOn(restored);
  show();
}

/** The talk that is not over, which is shown here and nowhere else; empty if there is none. */
export const talkId = () => talk?.recording.about.id ?? "";

/** Go on with a talk that a reload cut off, and with its microphone if that was on. @param {Recording} recording */
async function goOn(recording) {
  const { channels, apart = false } = recording.about;
  [byId("withTab").checked, byId("apart").checked] = [channels === 2, apart];
  talk = { recording, spoken: new Spoken(recording) };
  const waits = recording.sendKept();
  const wasOn = sessionStorage.getItem(RECORDS);
  if (wasOn && channels === 1) return start();
  if (waits) recording.stop();
  if (wasOn) showError(say("tabAgain"));
}

async function start() {
  showError("");
  button.disabled = true;
  /** @type {MediaStream[]} */
  const streams = [];
  let opened = null;
  try {
    const withTab = byId("withTab").checked;
    if (withTab) streams.push(await openTab()); // first: browsers give it only right after a click
    streams.unshift(await openMicrophone(byId("device").value, withTab));
    const mute = (/** @type {boolean} */ isMuted) => showError(isMuted ? say("muted") : "", "mute");
    opened = new Capture(streams, (pcm) => take(pcm, streams.length), leave, mute);
    await opened.start();
    capture = opened;
    sessionStorage.setItem(RECORDS, "1");
    stayAwake();
    showDevices();
  } catch (error) {
    await opened?.stop();
    for (const stream of streams) for (const track of stream.getTracks()) track.stop();
    showError(sayMicrophoneError(/** @type {DOMException} */ (error)));
    talk?.recording.stop();
  }
  button.disabled = false;
  show();
}

/** @param {Int16Array} pcm @param {number} channels */
function take(pcm, channels) {
  if (!talk) {
    const [names, apart] = channels === 2 ? [{ 0: say("ofMicrophone"), 1: say("ofTab") }, false] : [{}, byId("apart").checked];
    const recording = new Recording(told, { channels, names, apart });
    talk = { recording, spoken: new Spoken(recording) };
    show();
  }
  talk.recording.push(pcm);
  byId("level").value = Math.max(...levels(pcm, channels));
  showConnection();
}

/** The tab is not shared any more, or the microphone was taken away. @param {number} channel */
function leave(channel) {
  showError(say(channel ? "tabGone" : "microphoneGone"));
  if (!channel) stop();
}

async function stop() {
  const stopped = capture;
  capture = null;
  sessionStorage.removeItem(RECORDS);
  show();
  await stopped?.stop();
  talk?.recording.stop();
  byId("level").value = 0;
  lock?.release().catch(() => {});
}

/** Put what was said among the transcripts that are kept, and begin anew. @param {(id: string) => void} onSaved */
async function end(onSaved) {
  const ended = talk;
  talk = null;
  ended?.spoken.clear();
  byId("link").hidden = true;
  show();
  await ended?.recording.end();
  if (ended) onSaved(ended.recording.about.id);
}

/** Show an error, or none any more; none of a `kind` hides only one of that kind. @param {string} text */
function showError(text, kind = "") {
  const box = byId("talkError");
  if (!text && kind && box.dataset.kind !== kind) return;
  box.textContent = text;
  box.dataset.kind = kind;
}

function showConnection() {
  const behind = Math.round(talk?.recording.behind ?? 0);
  const text = state === "open" && behind > 1 ? say("behind", behind) : say(state, behind);
  if (byId("connection").textContent !== text) byId("connection").textContent = text;
  byId("connection").classList.toggle("bad", state === "lost");
}

/** Keep the screen on while somebody talks, where the browser can. */
async function stayAwake() {
  lock = await navigator.wakeLock?.request("screen").catch(() => null);
}

function show() {
  const running = Boolean(capture || talk?.recording.isRunning);
  button.textContent = say(capture ? "stop" : running ? "finishing" : "start");
  button.setAttribute("aria-pressed", String(Boolean(capture)));
  byId("sources").hidden = running || !canCapture(); // what is said needs the room, on a phone above all
  byId("withTab").disabled = Boolean(talk); // a talk has the same channels from its begin to its end
  byId("apart").disabled = Boolean(talk) || byId("withTab").checked; // two channels are two speakers
  byId("spokenActions").hidden = !talk;
  byId("newTalk").disabled = running;
}

/** The microphones by name, once one has been allowed: before that browsers do not tell them apart. */
async function showDevices() {
  const [chosen, found] = [byId("device").value, await listMicrophones()];
  const named = found.filter(({ id, name }) => id && name);
  byId("device").replaceChildren(make("option", { value: "" }, say("anyDevice")), ...named.map(({ id, name }) => make("option", { value: id }, name)));
  byId("device").value = named.some(({ id }) => id === chosen) ? chosen : "";
  byId("deviceSource").hidden = named.length < 2;
}

/** @param {DOMException} error */
function sayMicrophoneError(error) {
  if (error.name === "NoTabSound") return say("noTabSound");
  if (error.name === "NotRunning") return say("noAudio");
  if (error.name === "NotAllowedError") return say("noMicrophone");
  if (error.name === "NotFoundError" || error.name === "OverconstrainedError") return say("missingMicrophone");
  return say("microphoneFailed", error.message);
}
