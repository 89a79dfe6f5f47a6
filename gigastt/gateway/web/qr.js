/** A text as a QR code for phones. */

import { draw } from "./dom.js";

const QUIET = 4; // modules around it, as the standard asks

/**
 * @param {string} text
 * @param {string} label what the picture is, for those who do not see it
 */
export async function qrCode(text, label) {
  const { generate } = await import("/web/lean-qr.mjs");
  const code = generate(text);
  let path = "";
  for (let y = 0; y < code.size; y++) {
    for (let x = 0; x < code.size; x++) if (code.get(x, y)) path += `M${x + QUIET} ${y + QUIET}h1v1h-1z`;
  }
  const side = code.size + 2 * QUIET;
  return draw("svg", { class: "qr", viewBox: `0 0 ${side} ${side}`, role: "img", "aria-label": label }, draw("path", { d: path }));
}
