/** Hotwords: phrases that a person expects, in a field for talks and one for files; they hold the same text, which stays. */

import { byId } from "./dom.js";

const KEPT = "gigastt.hotwords"; // in localStorage
const fields = [byId("hotwords"), byId("filesHotwords")];
let areTaken = true;

export function startHotwords() {
  for (const field of fields) {
    field.value = localStorage.getItem(KEPT) ?? "";
    field.addEventListener("input", () => {
      for (const other of fields) if (other !== field) other.value = field.value;
      localStorage.setItem(KEPT, field.value);
    });
  }
}

/** Show the fields if the served model finds hotwords. @param {boolean} taken */
export function showHotwords(taken) {
  areTaken = taken;
  for (const field of fields) field.parentElement.hidden = !taken;
}

/**
 * The phrases as the server takes them, with commas or line breaks between them; nothing where there are none.
 * @returns {Record<string, string>}
 */
export const hotwords = () => (areTaken && fields[0].value.trim() ? { hotwords: fields[0].value } : {});
