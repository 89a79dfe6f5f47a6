/** The server this page came from, and the token that is shown to it. */

const TOKEN = "gigastt.token"; // in sessionStorage: gone with the tab
const TOKEN_SECONDS = 12 * 3600;

/** An answer that is an error; `code` is the protocol's, or `network`; `retryMs` after which it may be another one. */
export class Refusal extends Error {
  /**
   * @param {string} code
   * @param {string} message
   * @param {number} retryMs
   */
  constructor(code, message, retryMs = 0) {
    super(message);
    this.code = code;
    this.retryMs = retryMs;
  }
}

/** The token: of a link in its fragment, which no server sees, or the one that a key was traded for. */
const token = () => (location.hash.startsWith("#ek_") ? location.hash.slice(1) : "") || sessionStorage.getItem(TOKEN);

export const isSignedIn = () => Boolean(sessionStorage.getItem(TOKEN));

export const signOut = () => sessionStorage.removeItem(TOKEN);

/** Trade a key for a token of this tab; the key itself is kept nowhere. @param {string} key */
export async function signIn(key) {
  const body = JSON.stringify({ seconds: TOKEN_SECONDS });
  const answer = await ask("/v1/tokens", { method: "POST", body, headers: { authorization: `Bearer ${key}` } });
  sessionStorage.setItem(TOKEN, (await answer.json()).token);
}

/** A token that reads along with one session and does nothing else. @param {string} session */
export async function readersToken(session) {
  const answer = await ask("/v1/tokens", { method: "POST", body: JSON.stringify({ session, seconds: TOKEN_SECONDS }) });
  return (await answer.json()).token;
}

/** Subprotocols of a WebSocket, which cannot have headers. */
export const subprotocols = () => (token() ? ["gigastt.v1", `gigastt.bearer.${token()}`] : ["gigastt.v1"]);

/**
 * Ask, with the token if there is one.
 * @param {string} path
 * @param {RequestInit} [options]
 * @returns {Promise<Response>} whose status is a success
 * @throws {Refusal}
 */
export async function ask(path, options = {}) {
  const headers = { ...(token() ? { authorization: `Bearer ${token()}` } : {}), ...options.headers };
  let response;
  try {
    response = await fetch(path, { ...options, headers });
  } catch (error) {
    throw new Refusal("network", String(error));
  }
  if (response.ok) return response;
  throw refusal(await response.text(), response);
}

/** @param {string} text of an answer that is an error @param {{status: number, statusText: string}} answer */
function refusal(text, { status, statusText }) {
  const retryMs = status >= 500 || status === 429 ? 0 : Infinity;
  try {
    const { code, error, retry_after_ms } = JSON.parse(text);
    return new Refusal(code, error, retry_after_ms ?? retryMs);
  } catch {
    return new Refusal("internal", statusText, retryMs); // of a proxy
  }
}

/**
 * Send a file, and yield the events of the answer. (Of `fetch`, nobody can tell how much has been sent.)
 * @param {string} path
 * @param {Blob} file
 * @param {Record<string, string>} fields beside it
 * @param {AbortSignal} signal
 * @param {(share: number) => void} onSent
 */
export async function* sendFile(path, file, fields, signal, onSent) {
  const request = new XMLHttpRequest();
  request.open("POST", path);
  if (token()) request.setRequestHeader("authorization", `Bearer ${token()}`);
  request.upload.addEventListener("progress", ({ loaded, total }) => onSent(loaded / total));
  signal.addEventListener("abort", () => request.abort());
  const answer = new ReadableStream({
    start(controller) {
      let passed = 0;
      const pass = () => {
        if (request.status !== 200) return;
        controller.enqueue(request.responseText.slice(passed));
        passed = request.responseText.length;
      };
      request.addEventListener("progress", pass);
      request.addEventListener("load", () => {
        pass();
        if (request.status === 200) controller.close();
        else controller.error(refusal(request.responseText, request));
      });
      for (const lost of ["error", "abort"]) request.addEventListener(lost, () => controller.error(new Refusal("network", "")));
    },
  });
  request.send(Object.keys(fields).length ? formOf({ ...fields, file }) : file);
  yield* events(answer);
}

/** @param {Record<string, string | Blob>} fields */
function formOf(fields) {
  const form = new FormData();
  for (const [name, value] of Object.entries(fields)) form.append(name, value);
  return form;
}

/**
 * The events of a stream of text, as they come; `id` is the stream's, where it numbers them.
 * @param {ReadableStream<string>} stream
 */
export async function* events(stream) {
  const reader = stream.getReader();
  let kept = "";
  for (;;) {
    const { done, value } = await reader.read().catch((error) => {
      throw error instanceof Refusal ? error : new Refusal("network", String(error));
    });
    if (done) return;
    const blocks = (kept + value).split(/\r?\n\r?\n/);
    kept = blocks.pop() ?? "";
    for (const block of blocks) {
      const data = /^data: ?(.*)$/m.exec(block);
      if (data) yield { id: /^id: ?(.*)$/m.exec(block)?.[1], ...JSON.parse(data[1]) };
    }
  }
}
