/** The server this page came from, and the key that is shown to it. */

const KEY = "gigastt.key"; // in sessionStorage: gone with the tab

/** An answer that is an error; `code` is the protocol's, or `network`. */
export class Refusal extends Error {
  /**
   * @param {string} code
   * @param {string} message
   */
  constructor(code, message) {
    super(message);
    this.code = code;
  }
}

const key = () => sessionStorage.getItem(KEY);

/** @param {string} value empty to sign out */
export function keepKey(value) {
  if (value) sessionStorage.setItem(KEY, value);
  else sessionStorage.removeItem(KEY);
}

export const hasKey = () => Boolean(key());

/** Subprotocols of a WebSocket, which cannot have headers. */
export const subprotocols = () => (key() ? ["gigastt.v1", `gigastt.bearer.${key()}`] : ["gigastt.v1"]);

/**
 * Ask, with the key if there is one.
 * @param {string} path
 * @param {RequestInit} [options]
 * @returns {Promise<Response>} whose status is a success
 * @throws {Refusal}
 */
export async function ask(path, options = {}) {
  let response;
  try {
    response = await fetch(path, { ...options, headers: key() ? { authorization: `Bearer ${key()}` } : {} });
  } catch (error) {
    if (options.signal?.aborted) throw error;
    throw new Refusal("network", String(error));
  }
  if (response.ok) return response;
  const body = await response.json().catch(() => ({}));
  throw new Refusal(body.code ?? "internal", body.error ?? response.statusText);
}

/**
 * The events of a stream, as they come.
 * @param {Response} response
 */
export async function* events(response) {
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let kept = "";
  for (;;) {
    const { done, value } = await reader.read().catch((error) => {
      throw error.name === "AbortError" ? error : new Refusal("network", String(error));
    });
    if (done) return;
    const blocks = (kept + value).split(/\r?\n\r?\n/);
    kept = blocks.pop() ?? "";
    for (const block of blocks) if (block.startsWith("data:")) yield JSON.parse(block.slice(5));
  }
}
