/** Signing in: a key is traded for a token of this tab. */

import { byId } from "./dom.js";
import { isSignedIn, signIn, signOut } from "./server.js";
import { say, sayError } from "./text.js";

/** @param {() => void} onSignedIn */
export function startSignIn(onSignedIn) {
  byId("signIn").addEventListener("submit", async (/** @type {SubmitEvent} */ event) => {
    event.preventDefault();
    const key = byId("key").value.trim();
    byId("keyError").textContent = /^[\w!#$%&'*+.^`|~-]+$/.test(key) ? "" : say("bad_key");
    if (byId("keyError").textContent) return;
    try {
      await signIn(key);
    } catch (error) {
      byId("keyError").textContent = sayError(error.code, "");
      return;
    }
    byId("key").value = "";
    onSignedIn();
  });
  byId("signOut").addEventListener("click", () => {
    signOut();
    location.reload();
  });
}

/** Show the form while a key is asked for, and the way out after it. @param {boolean} asks */
export function showSignIn(asks) {
  const appears = asks && byId("signIn").hidden;
  byId("signIn").hidden = !asks;
  byId("signOut").hidden = asks || !isSignedIn();
  if (appears) byId("key").focus();
}
