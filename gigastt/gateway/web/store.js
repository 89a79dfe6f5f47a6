/** What this browser keeps until the person deletes it: transcripts, and recorded audio that no final covers yet. */

/**
 * @typedef {object} About what is known of a transcript but its segments
 * @property {string} id
 * @property {"talk" | "file"} kind
 * @property {number} created in milliseconds since 1970
 * @property {number} duration in seconds
 * @property {Record<number, string>} names of speakers, by their numbers
 * @property {string} [title] of a file, its name
 * @property {Blob} [audio]
 * @property {{code: string, start: number, end: number}[]} [failed]
 *
 * @typedef {About & TalkOnly} Talk
 * @typedef {object} TalkOnly
 * @property {boolean} open whether it goes on
 * @property {number} epoch when it began, in milliseconds since 1970
 * @property {number} channels
 * @property {number[]} ends of the last segment of each channel, in seconds
 * @property {boolean} [apart] whether speakers are told apart
 * @property {number} speakers how many there have been
 * @property {Record<number, string>} voices of speakers, by their numbers, as far as a server has told them
 */

/** @type {Record<string, string | null>} */
const STORES = { transcripts: "id", segments: null, pieces: null }; // keys of the others: [id, number], [id, first frame]

/** @type {Promise<IDBDatabase> | undefined} */
let opened;
let tellFailure = () => {};

/** @param {() => void} tell called when the browser keeps nothing, as it may in a private window or on a full disk */
export const onStoreFailure = (tell) => (tellFailure = tell);

function database() {
  opened ??= new Promise((resolve, reject) => {
    const request = indexedDB.open("gigastt", 1);
    request.onupgradeneeded = () => {
      for (const [name, keyPath] of Object.entries(STORES)) request.result.createObjectStore(name, keyPath ? { keyPath } : {});
    };
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });
  return opened;
}

/**
 * Run one request in a transaction of its own; undefined where the browser refuses.
 * @template T
 * @param {string} name
 * @param {IDBTransactionMode} mode
 * @param {(store: IDBObjectStore) => IDBRequest<T>} use
 */
async function run(name, mode, use) {
  try {
    const transaction = (await database()).transaction(name, mode, { durability: "relaxed" });
    const request = use(transaction.objectStore(name));
    return await new Promise((resolve, reject) => {
      transaction.oncomplete = () => resolve(request.result);
      transaction.onabort = () => reject(transaction.error);
    });
  } catch {
    tellFailure();
    return undefined;
  }
}

const of = (/** @type {string} */ id, from = -Infinity, to = Infinity) => IDBKeyRange.bound([id, from], [id, to], false, true);

/** Every transcript, the newest first. @returns {Promise<About[]>} */
export async function allTranscripts() {
  /** @type {About[]} */
  const found = (await run("transcripts", "readonly", (store) => store.getAll())) ?? [];
  return found.sort((one, other) => other.created - one.created);
}

/** @param {About} transcript */
export const keepTranscript = (transcript) => run("transcripts", "readwrite", (store) => store.put(transcript));

/** Keep a segment, in the place of one with the same number. @type {(id: string, number: number, segment: import("./forms.js").Segment) => void} */
export const keepSegment = (id, number, segment) => run("segments", "readwrite", (store) => store.put(segment, [id, number]));

/** The segments of a transcript in their order. @type {(id: string) => Promise<import("./forms.js").Segment[]>} */
export const segmentsOf = async (id) => (await run("segments", "readonly", (store) => store.getAll(of(id)))) ?? [];

/** @param {string} id */
export async function deleteTranscript(id) {
  await run("transcripts", "readwrite", (store) => store.delete(id));
  await run("segments", "readwrite", (store) => store.delete(of(id)));
  await dropPieces(id);
}

/** Keep recorded audio that begins with that frame of a talk. @type {(id: string, at: number, pcm: Int16Array) => void} */
export const keepPiece = (id, at, pcm) => run("pieces", "readwrite", (store) => store.put(pcm, [id, at]));

/** Delete the audio of a talk that begins before a frame. @type {(id: string, before?: number) => Promise<undefined>} */
export const dropPieces = (id, before = Infinity) => run("pieces", "readwrite", (store) => store.delete(of(id, -Infinity, before)));

/**
 * The audio kept of a talk, in its order.
 * @param {string} id
 * @returns {Promise<{at: number, pcm: Int16Array}[]>}
 */
export async function keptPieces(id) {
  const keys = /** @type {[string, number][]} */ ((await run("pieces", "readonly", (store) => store.getAllKeys(of(id)))) ?? []);
  const values = (await run("pieces", "readonly", (store) => store.getAll(of(id)))) ?? [];
  return keys.map(([, at], index) => ({ at, pcm: values[index] }));
}
