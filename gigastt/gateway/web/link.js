/** The link by which others read along with a talk, on a screen in the hall and on their phones. */

import { byId } from "./dom.js";
import { qrCode } from "./qr.js";
import { isSignedIn, readersToken } from "./server.js";
import { say, sayError } from "./text.js";

/** @param {() => string} session the id of the talk */
export function startLink(session) {
  byId("showLink").addEventListener("click", async () => {
    if (!byId("link").hidden) {
      byId("link").hidden = true;
      return;
    }
    try {
      const token = isSignedIn() ? `#${await readersToken(session())}` : "";
      const url = new URL(`/captions?session=${session()}${token}`, location.href).href;
      byId("linkAddress").href = url;
      byId("linkAddress").textContent = url.replace(/#.*/, "");
      byId("linkLocal").hidden = !/^(localhost|127\.|\[::1\])/.test(location.hostname);
      byId("linkCode").replaceChildren(await qrCode(url, say("qrOf")));
      byId("link").hidden = false;
    } catch (error) {
      byId("talkError").textContent = sayError(error.code, error.message);
    }
  });
}
