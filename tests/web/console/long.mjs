// By hand, not among the tests: what the console costs over time. A bucket of a
// million records is scrolled; then the page stands open beside a busy server.
//
//   NOEXD_BIN=target/release/noexd node tests/web/console/long.mjs [minutes 60] [rows 1000000] [writes a second 100] [parts scrolled,idle,busy]
//
// Prints a line per figure, and ends with 1 if one of them is not what
// docs/console.md promises.
import { readFile } from "node:fs/promises";
import { fromSources, launch } from "../chromium.mjs";
import { WebSocket, connect, fast, serve, until as within } from "../rig.mjs";

const [minutes = 60, rows = 1e6, rate = 100] = process.argv.slice(2, 5).map(Number);
const parts = (process.argv[5] ?? "scrolled,idle,busy").split(",");
/** Of one core, of a console that stands open beside a server that does nothing else. */
const MOST_CPU = 0.005;
/** From the end of a scroll to its rows, where nine of ten are. */
const MOST_SCROLL_MS = 250;
/** Bytes of the page's heap behind a collection, at the end against a tenth of the time. */
const MOST_GROWTH = 1.1;
const until = (what, test) => within(what, test, 120000);
const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
const wrong = [];
function figure(what, value, isRight = true) {
  console.log(`${new Date().toISOString().slice(11, 19)} ${what}: ${value}${isRight ? "" : "  TOO MUCH"}`);
  if (!isRight) wrong.push(what);
}
const part = (all, share) => [...all].sort((a, b) => a - b)[Math.min(all.length - 1, Math.floor(all.length * share))];
/** Seconds of a core that the process has used; ticks of Linux are hundredths. */
async function used({ pid }) {
  const fields = (await readFile(`/proc/${pid}/stat`, "utf8")).split(") ")[1].split(" ");
  return (Number(fields[11]) + Number(fields[12])) / 100;
}

async function started(config = {}) {
  const server = await serve(config);
  const db = connect(server.url, { WebSocket, queue: false, ...fast });
  await db.ready;
  await db.store.defineBucket({ name: "many", config: { key: "id", schema: { id: { type: "string" }, n: { type: "number" }, note: { type: "string" } } } });
  return { server, db, end: async () => { db.close(); await server.end(); } };
}
const key = (n) => `k${String(n).padStart(7, "0")}`;

async function opened(browser, server, tab) {
  const context = await browser.newContext({ viewport: { width: 1280, height: 800 } });
  await fromSources(context, server.http);
  const page = await context.newPage();
  await page.goto(`${server.http}/console/#/${tab}`);
  await page.waitForSelector("h1");
  return page;
}

async function scrolled(browser) {
  const { server, db, end } = await started();
  for (let at = 0; at < rows; at += 5000) await db.store.insertMany({ bucket: "many", data: Array.from({ length: 5000 }, (_, i) => ({ id: key(at + i), n: at + i, note: "as it came" })), answer: "counts" });
  const page = await opened(browser, server, "data/many");
  const shown = () => page.evaluate(() => {
    const grid = document.querySelector("[role=grid]").getBoundingClientRect();
    return [...document.querySelectorAll("[role=row].body")].filter((row) => { const box = row.getBoundingClientRect(); return box.bottom > grid.top + 28 && box.top < grid.bottom; })
      .map((row) => [+row.getAttribute("aria-rowindex") - 2, row.querySelector("[data-col='0']").innerText]);
  });
  const isRight = (all) => all.length > 10 && all.every(([index, id]) => id == key(index));
  await until("the first rows", async () => isRight(await shown()));
  const [times, frames] = [[], []];
  for (let i = 0; i < 60; i++) {
    const to = (i * 0.6180339887) % 1;
    const began = performance.now();
    await page.locator("[role=grid]").evaluate((grid, share) => { grid.scrollTop = grid.scrollHeight * share; }, to);
    await until(`the rows at ${to}`, async () => isRight(await shown()));
    times.push(performance.now() - began);
  }
  // As a wheel does it: a step a frame, for five seconds.
  const took = await page.locator("[role=grid]").evaluate((grid) => new Promise((resolve) => {
    const all = [];
    let last = performance.now();
    grid.scrollTop = 0;
    const step = (now) => {
      all.push(now - last);
      last = now;
      grid.scrollTop += 120;
      if (all.length < 300) requestAnimationFrame(step); else resolve(all);
    };
    requestAnimationFrame(step);
  }));
  frames.push(...took.slice(1));
  await until("the rows behind the wheel", async () => isRight(await shown()));
  figure(`${rows} rows, a jump anywhere, median`, `${part(times, 0.5).toFixed(0)} ms`);
  figure(`${rows} rows, a jump anywhere, nine of ten`, `${part(times, 0.9).toFixed(0)} ms`, part(times, 0.9) <= MOST_SCROLL_MS);
  figure("a frame while the wheel turns, median and 95 of 100", `${part(frames, 0.5).toFixed(1)} ms, ${part(frames, 0.95).toFixed(1)} ms`, part(frames, 0.95) <= 50);
  await page.close();
  await end();
}

/** The server's share of a core over some seconds. */
async function share(server, seconds) {
  const [before, began] = [await used(server.child), performance.now()];
  await pause(seconds * 1000);
  return (await used(server.child) - before) / ((performance.now() - began) / 1000);
}
const percent = (value) => `${(value * 100).toFixed(3)} %`;

async function idle(browser) {
  const { server, db, end } = await started({ audit: true });
  await db.store.insertMany({ bucket: "many", data: Array.from({ length: 1000 }, (_, i) => ({ id: key(i), n: i })), answer: "counts" });
  const alone = await share(server, 60);
  figure("server alone", percent(alone));
  const page = await opened(browser, server, "now");
  for (const tab of ["now", "data/many", "slow"]) {
    await page.goto(`${server.http}/console/#/${tab}`);
    await page.waitForSelector("h1");
    await pause(5000);
    const cost = (await share(server, 60)) - alone;
    figure(`an idle console on ${tab} adds`, percent(cost), cost < MOST_CPU);
  }
  await page.close();
  await end();
}

async function busy(browser) {
  const { server, db, end } = await started({ audit: true });
  await db.store.insertMany({ bucket: "many", data: Array.from({ length: 5000 }, (_, i) => ({ id: key(i), n: i })), answer: "counts" });
  await db.store.defineQuery({ name: "top", config: { bucket: "many", sort: { n: "desc" }, limit: 20 } });
  db.live("top").subscribe(() => {});
  const pages = await Promise.all(["now", "data/many", "rules/events", "slow"].map(async (tab) => {
    const page = await opened(browser, server, tab);
    const session = await page.context().newCDPSession(page);
    const heap = async () => { await session.send("HeapProfiler.collectGarbage"); return (await session.send("Runtime.getHeapUsage")).usedSize; };
    const nodes = () => page.evaluate(() => document.querySelectorAll("*").length);
    return { tab, page, heap, nodes, kept: [] };
  }));
  const began = performance.now();
  let [n, late, isOver] = [0, 0, false];
  const writes = (async () => {
    while (!isOver) {
      const due = ((performance.now() - began) / 1000) * rate;
      const all = [];
      for (; n < due; n++) all.push(db.bucket("many").update(key((n * 7919) % 5000), { n }), ...(n % 10 ? [] : [db.rules.emit({ topic: "kiln.reading", data: { n } })]));
      // On a machine that is starved some are late; they are counted, and the page goes on.
      late += (await Promise.allSettled(all)).filter((one) => one.status == "rejected").length;
      await pause(20);
    }
  })();
  const every = Math.min(60, minutes * 6);
  for (let at = 0; at <= minutes * 60; at += every) {
    await pause(every * 1000);
    for (const one of pages) one.kept.push([await one.heap(), await one.nodes()]);
    if (at % (every * 5) == 0) figure(`${Math.round((performance.now() - began) / 60000)} min, ${n} writes`, pages.map((one) => `${one.tab} ${(one.kept.at(-1)[0] / 2 ** 20).toFixed(2)} MiB`).join(", "));
  }
  isOver = true;
  await writes;
  figure("writes that were late", late);
  for (const { tab, kept } of pages) {
    // What fills up to its limit (500 events, 900 points) has filled up in a third of an hour.
    const from = kept[Math.min(Math.floor(kept.length / 2), Math.ceil(1200 / every))];
    const to = kept.at(-1);
    figure(`${tab} over ${minutes} min`, `${(from[0] / 2 ** 20).toFixed(2)} to ${(to[0] / 2 ** 20).toFixed(2)} MiB, ${from[1]} to ${to[1]} elements`, to[0] <= from[0] * MOST_GROWTH + 2e5);
  }
  for (const { page } of pages) await page.close();
  await end();
}

const browser = await launch();
try {
  for (const [name, run] of Object.entries({ scrolled, idle, busy })) if (parts.includes(name)) await run(browser);
} finally {
  await browser.close();
}
console.log(wrong.length ? `too much: ${wrong.join("; ")}` : "all within what is promised");
process.exit(wrong.length ? 1 : 0);
