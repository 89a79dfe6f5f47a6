"""A microphone that plays a recording, as a script of the page: for any browser, and over a reload.

After a reload it goes on where the audio ends that the page has kept: nobody speaks while there is no page.
"""

from __future__ import annotations

import base64

_SCRIPT = """() => {
  if (!navigator.mediaDevices) return;
  const bytes = Uint8Array.from(atob("RECORDING"), (one) => one.charCodeAt(0));
  const keptSeconds = () => new Promise((resolve) => {
    indexedDB.open("gigastt").onsuccess = ({ target }) => {
      const last = target.result.transaction("pieces").objectStore("pieces").openCursor(null, "prev");
      last.onsuccess = () => resolve(last.result ? (last.result.key[1] + last.result.value.length) / 16000 : 0);
    };
  });
  let [own, buffer, begin] = [null, null, 0];
  let play = () => {};
  navigator.mediaDevices.getUserMedia = async () => {
    const context = new AudioContext();
    buffer = await context.decodeAudioData(bytes.buffer.slice(0));
    begin = await keptSeconds();
    own = context.createMediaStreamDestination().stream;
    window.heard = own.getAudioTracks()[0];
    return own;
  };
  const create = AudioContext.prototype.createMediaStreamSource;
  AudioContext.prototype.createMediaStreamSource = function (stream) {
    const source = create.call(this, stream);
    if (stream !== own) return source;
    const exact = new AudioBufferSourceNode(this, { buffer }); // a stream drops samples on a busy machine
    play = () => exact.start(0, begin);
    return exact;
  };
  const resume = AudioContext.prototype.resume;
  AudioContext.prototype.resume = function () { // the last that a capture does before it hears
    window.hearing = this;
    play();
    play = () => {};
    return resume.call(this);
  };
}"""


def microphone(recording: bytes) -> str:
    """Return the script, as a function, that gives this WAV file to a page before its own scripts."""
    return _SCRIPT.replace("RECORDING", base64.b64encode(recording).decode())
