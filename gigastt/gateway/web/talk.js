/** Talk: the microphone, its live text, and the paragraphs that stay. */

import { Capture, canCapture, loudness } from "./capture.js";
import { byId, make, shortClock } from "./dom.js";
import { save } from "./forms.js";
import { Session } from "./session.js";
import { say, sayError } from "./text.js";

const button = byId("microphone");
const paragraphs = []; // {time, text}
let capture = null;
let session = null;
let state = "done";
let lock = null;

/** @param {() => void} onLost called when the server may be away, or ask for a key */
export function startTalk(onLost) {
  show();
  if (!canCapture()) {
    button.disabled = true;
    byId("insecure").hidden = false;
    const port = location.port || "80";
    byId("localAddress").textContent = `http://localhost:${port}/`;
    byId("tunnel").textContent = `ssh -L ${port}:localhost:${port} ${location.hostname}`;
  }
  button.addEventListener("click", () => (capture ? stop() : session ? session.abandon() : start(onLost)));
  byId("copySpoken").addEventListener("click", async () => {
    await navigator.clipboard.writeText(spokenText());
    byId("copySpoken").textContent = say("copied");
    setTimeout(() => (byId("copySpoken").textContent = say("copy")), 2000);
  });
  byId("copySpoken").hidden = !navigator.clipboard;
  byId("saveSpoken").addEventListener("click", () => save("gigastt.txt", spokenText()));
  byId("clearSpoken").addEventListener("click", () => {
    if (!confirm(say("sure"))) return;
    paragraphs.length = 0;
    byId("spoken").replaceChildren();
    byId("spokenActions").hidden = true;
  });
  window.addEventListener("beforeunload", (event) => (session || paragraphs.length) && event.preventDefault());
  document.addEventListener("visibilitychange", () => !document.hidden && capture && stayAwake());
}

async function start(onLost) {
  byId("talkError").textContent = "";
  button.disabled = true;
  const opened = new Capture(
    (pcm) => {
      session ??= openSession(onLost);
      session.push(pcm);
      byId("level").value = loudness(pcm);
      showConnection();
    },
    () => {
      byId("talkError").textContent = say("microphoneGone");
      stop();
    },
  );
  try {
    await opened.start();
    capture = opened;
    stayAwake();
  } catch (error) {
    await opened.stop();
    byId("talkError").textContent = sayMicrophoneError(error);
  }
  button.disabled = false;
  show();
}

function openSession(onLost) {
  const begun = Date.now();
  return new Session({
    onState: (now) => {
      state = now;
      if (now === "lost") onLost();
      if (now === "open") byId("talkError").textContent = "";
      if (now === "done") session = null;
      showConnection();
      show();
    },
    onPartial: showPartial,
    onFinal: (final) => {
      showPartial({ words: [], stable: 0 });
      if (final.text) addParagraph(new Date(begun + final.start * 1000), final);
    },
    onError: (code, message) => (byId("talkError").textContent = sayError(code, message)),
  });
}

function showConnection() {
  const behind = session ? Math.round(session.behind) : 0;
  const text = state === "open" && behind > 1 ? say("behind", behind) : say(state, behind);
  if (byId("connection").textContent !== text) byId("connection").textContent = text;
}

async function stop() {
  const stopped = capture;
  capture = null;
  show();
  await stopped?.stop();
  session?.stop();
  byId("level").value = 0;
  lock?.release().catch(() => {});
}

/** Keep the screen on while somebody talks, where the browser can. */
async function stayAwake() {
  lock = await navigator.wakeLock?.request("screen").catch(() => null);
}

function show() {
  button.textContent = say(capture ? "stop" : session ? "finishing" : "start");
  button.setAttribute("aria-pressed", String(Boolean(capture)));
}

/** Stable words in ink, the rest grey. */
function showPartial({ words, stable }) {
  const text = (some) => some.map(({ word }) => word).join(" ");
  byId("stable").textContent = text(words.slice(0, stable));
  byId("unstable").textContent = (stable ? " " : "") + text(words.slice(stable));
}

function addParagraph(date, { text, start }) {
  const time = date.toLocaleTimeString([], { hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23" });
  paragraphs.push({ time, text });
  const box = byId("spoken");
  const follows = box.scrollTop + box.clientHeight > box.scrollHeight - 40; // a reader who scrolled up stays there
  box.append(make("p", {}, make("time", { class: "time", title: shortClock(start) }, time), make("span", {}, text)));
  if (follows) box.scrollTop = box.scrollHeight;
  byId("spokenActions").hidden = false;
}

const spokenText = () => paragraphs.map(({ time, text }) => `[${time}] ${text}\n`).join("");

function sayMicrophoneError(error) {
  if (error.name === "NotAllowedError") return say("noMicrophone");
  if (error.name === "NotFoundError") return say("missingMicrophone");
  return say("microphoneFailed", error.message);
}
