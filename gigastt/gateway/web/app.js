/** The page: its language, its key, how the server is, and the things to do here. */

import { canCapture } from "./capture.js";
import { byId } from "./dom.js";
import { startFiles } from "./files.js";
import { showHotwords, startHotwords } from "./hotwords.js";
import { showSaved, startSaved } from "./saved.js";
import { ask } from "./server.js";
import { showSignIn, startSignIn } from "./signin.js";
import { startTalk, talkId } from "./talk.js";
import { say, translatePage } from "./text.js";

const AGAIN_MS = 3_000;
const COMING_AGAIN_MS = 1_000; // while the model is on its way
const DEMO_AGAIN_MS = 30_000; // the real model may take its place
/** @type {ReturnType<typeof setTimeout> | undefined} */
let timer;
let wasReady = false;

/** Ask how the server is, until it is ready and lets us in. */
async function look() {
  clearTimeout(timer);
  let again = AGAIN_MS;
  try {
    const about = await (await ask("/v1/page")).json();
    wasReady ||= about.state === "ready";
    byId("demo").hidden = !about.demo;
    byId("demo").textContent = about.demo ? say("demo") : "";
    byId("server").textContent = about.reason ? say("notReady", about.reason) : say("ready", about.demo ? about.model : about.title);
    showPreparing(about);
    for (const id of ["apartSource", "filesApartSource"]) byId(id).hidden = !about.diarization;
    showHotwords(about.hotwords);
    if (about.keys) await ask("/v1/models"); // does it let us in?
    showSignIn(false);
    if (!about.reason) again = about.demo ? DEMO_AGAIN_MS : 0;
    else if (!wasReady) again = COMING_AGAIN_MS;
  } catch (error) {
    if (error.code === "unauthorized") {
      showSignIn(true);
      return;
    }
    if (error.retryMs < Infinity) again = Math.max(again, error.retryMs);
    byId("server").textContent = error.code === "network" ? say("away") : say("notReady", error.message);
  }
  if (again) timer = setTimeout(look, again);
}

/**
 * Before the server has ever been ready there is nothing to do but to wait for its model.
 * @param {{reason: string | null, preparing: string | null}} about
 */
function showPreparing({ reason, preparing }) {
  byId("preparing").hidden = wasReady;
  byId("page").hidden = !wasReady;
  const share = /(\d+) ?%/.exec(preparing ?? "");
  if (share) byId("preparingBar").value = Number(share[1]);
  else byId("preparingBar").removeAttribute("value");
  byId("preparingState").textContent = preparing ?? reason ?? "";
}

/** Without a secure origin there is no microphone: say so, and how to get one. */
function showWays() {
  if (canCapture()) return;
  byId("insecure").hidden = false;
  const port = location.port || "80";
  byId("localAddress").textContent = `http://localhost:${port}/`;
  byId("tunnel").textContent = `ssh -L ${port}:localhost:${port} ${location.hostname}`;
}

translatePage();
showWays();
startSignIn(look);
startHotwords();
startFiles(look);
look();
startTalk(look, showSaved).then(() => startSaved((id) => id === talkId()));
