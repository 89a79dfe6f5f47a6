/** Status: how the server is now and was over the last hour, for its operator. */

import { byId, draw, make } from "./dom.js";
import { ask } from "./server.js";
import { showSignIn, startSignIn } from "./signin.js";
import { say, sayError, translatePage } from "./text.js";

const AGAIN_MS = 5_000;
const [WIDTH, HEIGHT] = [360, 60]; // of a chart, in its own units
/** @type {ReturnType<typeof setTimeout> | undefined} */
let timer;

async function look() {
  clearTimeout(timer);
  try {
    show(await (await ask("/v1/status")).json());
    showSignIn(false);
  } catch (error) {
    byId("server").textContent = error.code === "unauthorized" ? "" : sayError(error.code, "");
    if (error.code === "unauthorized") {
      byId("status").hidden = true;
      showSignIn(true);
      return;
    }
  }
  timer = setTimeout(look, AGAIN_MS);
}

/** @param {any} status of `GET /v1/status` */
function show(status) {
  const { places, latency, workers, versions } = status;
  /** @type {{at: number, taken: number, total: number, waiting: number, final_p95: number | null}[]} */
  const hour = status.hour;
  byId("status").hidden = false;
  byId("server").textContent = status.reason ? say("notReady", status.reason) : say("ready", status.demo ? status.model : status.title);
  list(byId("facts"), {
    model: [status.model, status.encoder, status.provider].filter(Boolean).join(", ") + (status.demo ? ` (${say("demoShort")})` : ""),
    preparing: status.preparing,
    places: say("placesOf", places.taken, places.total, places.waiting),
    finalLatency: quantiles(latency.final),
    partialLatency: quantiles(latency.first_partial),
    loopLag: quantiles(latency.event_loop_lag),
    samplesLost: status.samples_lost,
    uptime: say("hours", ((status.now - status.started_at) / 3600).toFixed(1)),
    versions: Object.entries(versions).map(([name, version]) => `${name} ${version}`).join(", "),
  });
  const restarts = Object.entries(workers.restarts).filter(([, count]) => count);
  list(byId("workers"), {
    workersReady: say("workersOf", workers.ready, workers.total),
    memory: Object.entries(workers.memory_bytes).map(([worker, bytes]) => `${worker}: ${Math.round(bytes / 1e6)} MB`).join(", "),
    restarts: restarts.map(([reason, count]) => `${reason}: ${count}`).join(", ") || "0",
  });
  byId("hour").replaceChildren(
    chart(say("chartPlaces"), hour, ({ taken }) => taken, Math.max(1, ...hour.map(({ total }) => total)), say("chartNow", places.taken, places.total)),
    chart(say("chartWaiting"), hour, ({ waiting }) => waiting, Math.max(1, ...hour.map(({ waiting }) => waiting)), String(places.waiting)),
    chart(say("chartLatency"), hour, ({ final_p95 }) => final_p95, Math.max(1, ...hour.map(({ final_p95 }) => final_p95 ?? 0)), quantiles(latency.final)),
  );
  byId("noErrors").hidden = status.errors.length > 0;
  byId("errors").replaceChildren(
    ...status.errors.map((/** @type {{at: number, code: string}} */ { at, code }) =>
      make("li", {}, make("time", { class: "time" }, new Date(at * 1000).toLocaleTimeString()), " ", make("code", {}, code), ` ${say("inAll", status.errors_by_code[code])}`),
    ),
  );
}

/** @param {HTMLElement} box @param {Record<string, any>} facts by the names of their texts */
function list(box, facts) {
  const shown = Object.entries(facts).filter(([, value]) => value !== null && value !== "");
  box.replaceChildren(...shown.flatMap(([name, value]) => [make("dt", {}, say(/** @type {any} */ (name))), make("dd", {}, String(value))]));
}

/** @param {{p50: number | null, p95: number | null}} told */
const quantiles = ({ p50, p95 }) => (p50 === null || p95 === null ? "–" : say("quantiles", seconds(p50), seconds(p95)));

const seconds = (/** @type {number} */ value) => (value < 1 ? say("ms", Math.round(value * 1000)) : say("s", value.toFixed(1)));

/**
 * A line over the last hour; gaps where nothing was measured.
 * @param {string} title
 * @param {any[]} hour
 * @param {(sample: any) => number | null} measure
 * @param {number} most
 * @param {string} now
 */
function chart(title, hour, measure, most, now) {
  const end = hour.at(-1).at;
  let path = "";
  let open = false;
  for (const sample of hour) {
    const value = measure(sample);
    if (value !== null) path += `${open ? "L" : "M"}${(WIDTH * (1 - (end - sample.at) / 3600)).toFixed(1)} ${(HEIGHT * (1 - value / most)).toFixed(1)}`;
    open = value !== null;
  }
  const box = { class: "chart", viewBox: `0 -2 ${WIDTH} ${HEIGHT + 4}`, preserveAspectRatio: "none", role: "img", "aria-label": `${title}: ${now}` };
  return make("figure", {}, make("figcaption", {}, `${title}: `, make("b", {}, now)), draw("svg", box, draw("path", { d: path })));
}

translatePage();
startSignIn(look);
look();
