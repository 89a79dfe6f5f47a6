/** Talk: the microphone and perhaps a tab, their live text, and the paragraphs that stay. */

import { Capture, canCapture, canCaptureTab, levels, listMicrophones, openMicrophone, openTab } from "./capture.js";
import { byId, make, shortClock, speakerClass } from "./dom.js";
import { save } from "./forms.js";
import { startLink } from "./link.js";
import { Recording } from "./recording.js";
import { say, sayError } from "./text.js";

const RECORDS = "gigastt.records"; // in sessionStorage while the microphone is on: a reload goes on with it
const button = byId("microphone");
const settled = []; // what is called with a talk that is over
let capture = null;
let recording = null;
let state = "done";
let lock = null;

/**
 * @param {() => void} onLost called when the server may be away, or ask for a key
 * @param {(id: string) => void} onSaved called with a talk that is over
 */
export async function startTalk(onLost, onSaved) {
  settled.push(onSaved);
  button.addEventListener("click", () => (capture ? stop() : recording?.isRunning ? recording.abandon() : start()));
  byId("copySpoken").addEventListener("click", async () => {
    await navigator.clipboard.writeText(spokenText());
    byId("copySpoken").textContent = say("copied");
    setTimeout(() => (byId("copySpoken").textContent = say("copy")), 2000);
  });
  byId("copySpoken").hidden = !navigator.clipboard;
  byId("saveSpoken").addEventListener("click", () => save("gigastt.txt", spokenText()));
  byId("newTalk").addEventListener("click", endTalk);
  startLink(() => recording.about.id);
  document.addEventListener("visibilitychange", () => !document.hidden && capture && stayAwake());
  show();
  if (!canCapture()) {
    button.disabled = true;
    return;
  }
  byId("sources").hidden = false;
  byId("tabSource").hidden = !canCaptureTab();
  navigator.mediaDevices.addEventListener("devicechange", showDevices);
  showDevices();
  told.onLost = onLost;
  recording = await Recording.restore(told);
  for (const segment of recording?.segments ?? []) addParagraph(segment);
  const waits = recording?.sendKept();
  if (sessionStorage.getItem(RECORDS) && recording?.about.channels === 1) await start();
  else if (waits) recording.stop();
  show();
}

/** The talk that is not over, which is shown here and nowhere else. */
export const talkId = () => recording?.about.id;

const told = {
  onState(now) {
    state = now;
    if (now === "lost") told.onLost();
    if (now === "open") byId("talkError").textContent = "";
    if (now === "failed") {
      byId("talkError").textContent ||= say("talkFailed");
      if (capture) stop();
    }
    if (now === "done" || now === "failed") byId("live").replaceChildren();
    showConnection();
    show();
  },
  onPartial: showPartial,
  onFinal(segment) {
    showPartial({ words: [], stable: 0, channel: segment.channel });
    addParagraph(segment);
  },
  onError: (code, message) => (byId("talkError").textContent = sayError(code, message)),
};

async function start() {
  byId("talkError").textContent = "";
  button.disabled = true;
  const streams = [];
  let opened = null;
  try {
    const withTab = byId("withTab").checked;
    if (withTab) streams.push(await openTab()); // first: browsers give it only right after a click
    if (withTab && !streams[0]) throw new DOMException("", "NoTabSound");
    streams.unshift(await openMicrophone(byId("device").value, withTab));
    opened = new Capture(streams, (pcm) => take(pcm, streams.length), onGone);
    await opened.start();
    capture = opened;
    sessionStorage.setItem(RECORDS, "1");
    stayAwake();
    showDevices();
  } catch (error) {
    await opened?.stop();
    for (const stream of streams) for (const track of stream?.getTracks() ?? []) track.stop();
    byId("talkError").textContent = sayMicrophoneError(error);
    recording?.stop();
  }
  button.disabled = false;
  show();
}

function take(pcm, channels) {
  if (!recording) {
    recording = new Recording(told);
    show();
  }
  recording.push(pcm, channels);
  byId("level").value = Math.max(...levels(pcm, channels));
  showConnection();
}

function onGone() {
  byId("talkError").textContent = say("microphoneGone");
  stop();
}

async function stop() {
  const stopped = capture;
  capture = null;
  sessionStorage.removeItem(RECORDS);
  show();
  await stopped?.stop();
  recording?.stop();
  byId("level").value = 0;
  lock?.release().catch(() => {});
}

/** Put what was said among the transcripts that are kept, and begin anew. */
async function endTalk() {
  const ended = recording;
  recording = null;
  byId("spoken").replaceChildren();
  byId("link").hidden = true;
  show();
  await ended.end();
  for (const tell of settled) tell(ended.about.id);
}

function showConnection() {
  const behind = Math.round(recording?.behind ?? 0);
  const text = state === "open" && behind > 1 ? say("behind", behind) : say(state, behind);
  if (byId("connection").textContent !== text) byId("connection").textContent = text;
}

/** Keep the screen on while somebody talks, where the browser can. */
async function stayAwake() {
  lock = await navigator.wakeLock?.request("screen").catch(() => null);
}

function show() {
  const running = Boolean(capture || recording?.isRunning);
  button.textContent = say(capture ? "stop" : running ? "finishing" : "start");
  button.setAttribute("aria-pressed", String(Boolean(capture)));
  byId("device").disabled = byId("withTab").disabled = running;
  byId("spokenActions").hidden = !recording;
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

/** Stable words in ink, the rest grey; a line for each channel. */
function showPartial({ words, stable, channel }) {
  const text = (some) => some.map(({ word }) => word).join(" ");
  const name = `live${channel ?? 0}`;
  let line = document.getElementById(name);
  if (!line) {
    line = make("p", { id: name, class: speakerClass({ channel }) }, make("span", { class: "stable" }), make("span", { class: "unstable faint" }));
    byId("live").append(line);
  }
  line.firstChild.textContent = text(words.slice(0, stable));
  line.lastChild.textContent = (stable ? " " : "") + text(words.slice(stable));
}

function addParagraph(segment) {
  const box = byId("spoken");
  const follows = box.scrollTop + box.clientHeight > box.scrollHeight - 40; // a reader who scrolled up stays there
  const time = make("time", { class: "time", title: shortClock(segment.start) }, dayTime(segment.at));
  box.append(make("p", { class: speakerClass(segment) }, time, make("span", {}, segment.text)));
  if (follows) box.scrollTop = box.scrollHeight;
}

const dayTime = (at) => new Date(at).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23" });

const spokenText = () => (recording?.segments ?? []).map(({ at, text }) => `[${dayTime(at)}] ${text}\n`).join("");

function sayMicrophoneError(error) {
  if (error.name === "NoTabSound") return say("noTabSound");
  if (error.name === "NotRunning") return say("noAudio");
  if (error.name === "NotAllowedError") return say("noMicrophone");
  if (error.name === "NotFoundError" || error.name === "OverconstrainedError") return say("missingMicrophone");
  return say("microphoneFailed", error.message);
}
