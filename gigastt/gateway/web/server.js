/** The server this page came from: what it says of itself, and the token that stands for a key. */

const TOKEN = "gigastt.token"; // in sessionStorage: gone with the tab

/**
 * @typedef {object} Facts
 * @property {string} model
 * @property {string} title
 * @property {string} version
 * @property {boolean} demo
 * @property {string} state `ready`, or why not
 * @property {string | null} preparing how far the model's download is
 * @property {boolean} keys whether it asks for a key
 * @property {string | null} https this server's address over HTTPS
 * @property {string | null} ca the path of its authority's certificate
 * @property {number} body_limit_bytes
 * @property {number} max_audio_secs
 */

/** An answer that is an error; `code` is the protocol's, or `network`. */
export class Refusal extends Error {
  /**
   * @param {string} code
   * @param {string} message
   * @param {number} [retryAfterMs]
   */
  constructor(code, message, retryAfterMs) {
    super(message);
    this.code = code;
    this.retryAfterMs = retryAfterMs;
  }
}

/** @returns {string | null} */
export const token = () => sessionStorage.getItem(TOKEN);

/** @returns {Record<string, string>} */
export const authorization = () => (token() ? { authorization: `Bearer ${token()}` } : {});

/** Subprotocols of a WebSocket, which cannot have headers. */
export const subprotocols = () => (token() ? ["gigastt.v1", `gigastt.bearer.${token()}`] : ["gigastt.v1"]);

/**
 * The address of a WebSocket of this server.
 * @param {string} path
 */
export const webSocketUrl = (path) => new URL(path, location.href.replace(/^http/, "ws")).href;

/**
 * Ask for JSON.
 * @param {string} path
 * @param {RequestInit} [options]
 * @returns {Promise<any>}
 * @throws {Refusal}
 */
export async function ask(path, options = {}) {
  let response;
  try {
    response = await fetch(path, { ...options, headers: { ...authorization(), ...options.headers } });
  } catch (error) {
    throw new Refusal("network", String(error));
  }
  const body = await response.json().catch(() => ({}));
  if (!response.ok) throw new Refusal(body.code ?? "internal", body.error ?? response.statusText, body.retry_after_ms);
  return body;
}

/** @returns {Promise<Facts>} */
export const askFacts = () => ask("/v1/page");

/**
 * Trade a key for a token of this tab.
 * @param {string} key
 */
export async function signIn(key) {
  const answer = await ask("/v1/tokens", {
    method: "POST",
    headers: { authorization: `Bearer ${key}`, "content-type": "application/json" },
    body: "{}",
  });
  sessionStorage.setItem(TOKEN, answer.token);
}

export const signOut = () => sessionStorage.removeItem(TOKEN);
