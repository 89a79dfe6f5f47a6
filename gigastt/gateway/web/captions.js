/** Captions: a live session of somebody else, in large text, followed by a link. */

import { byId, make } from "./dom.js";
import { qrCode } from "./qr.js";
import { ask, events } from "./server.js";
import { speakerClass, turnsOf } from "./speakers.js";
import { say, sayError, translatePage } from "./text.js";

const MOST_LINES = 60; // on the page; what is above is gone
const LONGEST_WAIT_MS = 10_000;
const SIZES = [1, 1.4, 2, 2.8, 4, 5.6]; // rem
const session = new URLSearchParams(location.search).get("session") ?? "";
/** @type {Map<number | undefined, HTMLElement>} */
const partials = new Map(); // lines that are still being spoken, by channel
let size = 3;
let last = "0";

async function follow() {
  let wait = 500;
  for (;;) {
    try {
      const response = await ask(`/v1/sessions/${encodeURIComponent(session)}/events`, { headers: { "last-event-id": last } });
      byId("state").textContent = say("notLive");
      for (const line of partials.values()) line.remove();
      partials.clear();
      const body = /** @type {ReadableStream} */ (response.body);
      for await (const event of events(body.pipeThrough(new TextDecoderStream()))) {
        byId("state").textContent = say(event.type === "end" ? "over" : "following");
        if (event.code === "not_found") byId("state").textContent = say("notLive");
        show(event);
        wait = 500;
      }
    } catch (error) {
      if (error.code === "network") byId("state").textContent = say("away");
      else byId("state").textContent = error.code === "unauthorized" ? say("linkExpired") : sayError(error.code, error.message);
      if (error.retryMs === Infinity) return; // waiting would change nothing
      wait = Math.max(wait, error.retryMs ?? 0);
    }
    await new Promise((resolve) => setTimeout(resolve, wait));
    wait = Math.min(LONGEST_WAIT_MS, wait * 2);
  }
}

/** @param {any} event */
function show(event) {
  const { id, type, text, words, stable = 0, channel } = event;
  if (type !== "partial" && type !== "final") return;
  const box = byId("lines");
  let line = partials.get(channel);
  if (!line) {
    line = make("p", { class: speakerClass({ channel }) }, make("span"), make("span", { class: "faint" }));
    partials.set(channel, line);
    box.append(line);
  }
  if (type === "partial" && text) {
    const joined = (/** @type {{word: string}[]} */ some) => some.map(({ word }) => word).join(" ");
    const [settled, rest] = line.children;
    settled.textContent = joined(words.slice(0, stable));
    rest.textContent = ` ${joined(words.slice(stable))}`;
  } else {
    const turns = text ? turnsOf(event) : [];
    line.replaceWith(...turns.map((turn) => make("p", { class: speakerClass(turn) }, turn.text)));
    partials.delete(channel);
  }
  last = id ?? last;
  while (box.childElementCount > MOST_LINES) box.firstChild.remove();
  scrollTo({ top: document.documentElement.scrollHeight });
}

/** @param {number} by */
function resize(by) {
  size = Math.max(0, Math.min(SIZES.length - 1, size + by));
  for (const [index] of SIZES.entries()) byId("lines").classList.toggle(`size${index}`, index === size);
}

translatePage();
resize(matchMedia("(max-width: 40rem)").matches ? -1 : 0);
byId("smaller").addEventListener("click", () => resize(-1));
byId("larger").addEventListener("click", () => resize(1));
byId("whole").hidden = !document.fullscreenEnabled;
byId("whole").addEventListener("click", () => (document.fullscreenElement ? document.exitFullscreen() : document.documentElement.requestFullscreen()));
byId("showCode").addEventListener("click", async () => {
  const shows = byId("code").hidden;
  if (shows) byId("code").replaceChildren(await qrCode(location.href, say("qrOf")));
  byId("code").hidden = !shows;
  byId("showCode").setAttribute("aria-pressed", String(shows));
});
const stayAwake = () => navigator.wakeLock?.request("screen").catch(() => {});
document.addEventListener("visibilitychange", () => !document.hidden && stayAwake());
stayAwake();
if (session) follow();
else byId("state").textContent = say("noSession");
