/** The microphone as text, on a page of one's own: capture.js hears, client.js speaks to the server. */

import { Capture, openMicrophone } from "./capture.js";
import { LiveSession } from "./client.js";

const server = new URLSearchParams(location.search).get("server") ?? "ws://127.0.0.1:9876/v1/ws";
const button = /** @type {HTMLButtonElement} */ (document.getElementById("talk"));
const text = /** @type {HTMLElement} */ (document.getElementById("text"));
const line = () => text.appendChild(document.createElement("p"));
/** @type {Capture | undefined} */
let capture;
/** @type {LiveSession | undefined} */
let session;
let live = line();

button.addEventListener("click", async () => {
  if (capture) {
    button.textContent = "Talk";
    await capture.stop(); // gives the last piece
    session?.stop();
    capture = undefined;
    return;
  }
  const begun = new LiveSession(server, {
    configure: { sample_rate: 16_000 },
    onMessage: (message) => {
      if (message.type === "error") live.textContent = message.message;
      if (message.text) live.textContent = message.text;
      if (message.type === "final" && message.text) live = line();
    },
    onState: (_, why) => {
      if (why) live.textContent = why.message;
    },
  });
  session = begun;
  capture = new Capture([await openMicrophone()], (pcm) => begun.send(pcm), () => begun.stop());
  await capture.start();
  button.textContent = "Stop";
});
