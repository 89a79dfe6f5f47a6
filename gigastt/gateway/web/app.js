/** The page: its language, its key, how the server is, and the two things to do here. */

import { canCapture } from "./capture.js";
import { byId } from "./dom.js";
import { startFiles } from "./files.js";
import { ask, hasKey, keepKey } from "./server.js";
import { showSaved, startSaved } from "./saved.js";
import { startTalk, talkId } from "./talk.js";
import { say, sayError, translatePage } from "./text.js";

const AGAIN_MS = 3_000;
const DEMO_AGAIN_MS = 30_000; // the real model may take its place
let timer;

/** Ask how the server is, until it is ready and lets us in. */
async function look() {
  clearTimeout(timer);
  try {
    const model = await (await ask("/v1/models")).json();
    byId("signIn").hidden = true;
    byId("signOut").hidden = !hasKey();
    byId("demo").hidden = !model.demo;
    byId("demo").textContent = model.demo ? say("demo") : "";
    await ask("/ready");
    byId("server").textContent = say("ready", model.demo ? model.id : model.name);
    if (model.demo) timer = setTimeout(look, DEMO_AGAIN_MS);
  } catch (error) {
    if (error.code === "unauthorized") {
      askForKey();
      return true;
    }
    byId("server").textContent = error.code === "network" ? say("away") : say("notReady", error.message);
    timer = setTimeout(look, AGAIN_MS);
  }
  return false;
}

function askForKey() {
  byId("signIn").hidden = false;
  byId("signOut").hidden = true;
  byId("server").textContent = "";
  byId("key").focus();
}

byId("signIn").addEventListener("submit", async (event) => {
  event.preventDefault();
  const key = byId("key").value.trim();
  byId("keyError").textContent = /^[\w!#$%&'*+.^`|~-]+$/.test(key) ? "" : say("bad_key");
  if (byId("keyError").textContent) return;
  keepKey(key);
  if (await look()) {
    keepKey("");
    byId("keyError").textContent = sayError("unauthorized", "");
    return;
  }
  byId("key").value = "";
});

byId("signOut").addEventListener("click", () => {
  keepKey("");
  location.reload();
});

translatePage();
showWays();
startFiles(askForKey);
look();
startTalk(look, showSaved).then(() => startSaved((id) => id === talkId()));

/** Without a secure origin there is no microphone: say so, and how to get one. */
function showWays() {
  if (canCapture()) return;
  byId("insecure").hidden = false;
  const port = location.port || "80";
  byId("localAddress").textContent = `http://localhost:${port}/`;
  byId("tunnel").textContent = `ssh -L ${port}:localhost:${port} ${location.hostname}`;
}
