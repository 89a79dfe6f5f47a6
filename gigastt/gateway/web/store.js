/** What this browser keeps until the person deletes it: transcripts, and recorded audio that no final covers yet. */

const STORES = { transcripts: "id", segments: null, pieces: null }; // keys of the others: [id, number], [id, first frame]

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
 * @param {keyof typeof STORES} name
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

const of = (id, from = -Infinity, to = Infinity) => IDBKeyRange.bound([id, from], [id, to], false, true);

/** What is known of every transcript but its segments, the newest first. */
export async function allTranscripts() {
  const found = (await run("transcripts", "readonly", (store) => store.getAll())) ?? [];
  return found.sort((one, other) => other.created - one.created);
}

/** @param {{id: string, created: number}} transcript without its segments */
export const keepTranscript = (transcript) => run("transcripts", "readwrite", (store) => store.put(transcript));

/** Keep a segment, in the place of one with the same number. */
export const keepSegment = (id, number, segment) => run("segments", "readwrite", (store) => store.put(segment, [id, number]));

/** The segments of a transcript in their order. */
export const segmentsOf = async (id) => (await run("segments", "readonly", (store) => store.getAll(of(id)))) ?? [];

export async function deleteTranscript(id) {
  await run("transcripts", "readwrite", (store) => store.delete(id));
  await run("segments", "readwrite", (store) => store.delete(of(id)));
  await dropPieces(id);
}

/** Keep recorded audio that begins with that frame of a talk. */
export const keepPiece = (id, at, pcm) => run("pieces", "readwrite", (store) => store.put(pcm, [id, at]));

/** Delete the audio of a talk that begins before a frame. */
export const dropPieces = (id, before = Infinity) => run("pieces", "readwrite", (store) => store.delete(of(id, -Infinity, before)));

/**
 * The audio kept of a talk, in its order.
 * @returns {Promise<{at: number, pcm: Int16Array}[]>}
 */
export async function keptPieces(id) {
  const keys = (await run("pieces", "readonly", (store) => store.getAllKeys(of(id)))) ?? [];
  const values = (await run("pieces", "readonly", (store) => store.getAll(of(id)))) ?? [];
  return keys.map(([, at], index) => ({ at, pcm: values[index] }));
}
