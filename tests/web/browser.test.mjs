// The served client in Chromium: a page, a worker, two tabs, offline, a restart
// of the server in the middle. Without a Chromium these say that they skip.
import assert from "node:assert/strict";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { launch, page as makePage, skip } from "./chromium.mjs";
import { serve, until } from "./rig.mjs";

const buckets = { kilns: { key: "id", schema: { id: { type: "string", generated: "uuid" }, heat: { type: "number" } } } };

let browser, server, site, origin, dir;
before(async () => {
  if (skip) return;
  browser = await launch();
  // The page is of another origin than the server, as in most uses.
  site = await makePage();
  ({ origin } = site);
  dir = await mkdtemp(join(tmpdir(), "noexd-browser-"));
  server = await serve({ buckets, allowedOrigins: [origin], dataDir: dir });
});
after(async () => {
  await browser?.close();
  site?.end();
  await server?.end();
  if (dir) await rm(dir, { recursive: true, force: true });
});

async function tab(context, options = {}) {
  const page = await context.newPage();
  page.failures = [];
  page.on("pageerror", (error) => page.failures.push(error));
  await page.goto(origin);
  await page.evaluate(async ([http, given]) => {
    const client = await import(`${http}/client.js`);
    globalThis.db = client.connect(undefined, { retry: { minMs: 5, baseMs: 20, maxMs: 100 }, staleAfterMs: 50, ...given });
    globalThis.live = db.bucket("kilns").live({ sort: { heat: "desc" } });
    globalThis.shown = [];
    live.subscribe(({ data, status }) => { shown.push([status, data.map((row) => row.heat).join()]); document.body.textContent = shown.at(-1).join(" "); });
    await db.ready;
  }, [server.http, options]);
  return page;
}
const text = (page) => page.evaluate(() => document.body.textContent);
const shows = (page, wanted) => until(`the page shows ${wanted}`, async () => (await text(page)) == wanted);

test("two tabs see each other's changes, and a restart in the middle loses nothing", { skip }, async () => {
  const context = await browser.newContext();
  const [one, two] = [await tab(context), await tab(context)];
  await one.evaluate(() => db.bucket("kilns").insert({ id: "a", heat: 1 }));
  await shows(two, "live 1");
  await two.evaluate(() => db.bucket("kilns").insert({ id: "b", heat: 2 }));
  await shows(one, "live 2,1");
  await one.evaluate(() => { globalThis.kept = live.data[0]; });
  await server.stop("SIGKILL");
  await shows(one, "stale 2,1");
  await one.evaluate(() => { globalThis.waiting = db.bucket("kilns").insert({ id: "c", heat: 3 }); });
  await server.start();
  assert.equal(await one.evaluate(async () => (await waiting).heat), 3);
  await shows(one, "live 3,2,1");
  await shows(two, "live 3,2,1");
  assert.ok(await one.evaluate(() => live.data[1] === kept));
  assert.deepEqual([...one.failures, ...two.failures], []);
  await context.close();
});

test("offline shows what was there, and online goes on", { skip }, async () => {
  const context = await browser.newContext();
  const page = await tab(context);
  await page.evaluate(() => db.bucket("kilns").clear());
  await shows(page, "live ");
  await server.stop("SIGKILL");
  await until("waiting", () => page.evaluate(() => db.status == "waiting" || db.status == "connecting"));
  await server.start();
  await page.evaluate(() => dispatchEvent(new Event("online")));
  await shows(page, "live ");
  await context.close();
});

test("a page that is left closes its socket, and opens it when it comes back", { skip }, async () => {
  const context = await browser.newContext();
  const page = await tab(context);
  await page.evaluate(() => dispatchEvent(new PageTransitionEvent("pagehide")));
  assert.equal(await page.evaluate(() => db.status), "idle");
  await page.evaluate(() => dispatchEvent(new PageTransitionEvent("pageshow")));
  await until("online", () => page.evaluate(() => db.status == "online"));
  await context.close();
});

test("in a worker", { skip }, async () => {
  const context = await browser.newContext();
  const page = await tab(context);
  const heat = await page.evaluate((http) => new Promise((resolve, reject) => {
    const source = `import { connect } from "${http}/client.js"; const db = connect();
      db.bucket("kilns").insert({ heat: 77 }).then((row) => postMessage(row.heat), (error) => postMessage(String(error)));`;
    const worker = new Worker(URL.createObjectURL(new Blob([source], { type: "text/javascript" })), { type: "module" });
    worker.onmessage = (event) => resolve(event.data);
    worker.onerror = reject;
  }), server.http);
  assert.equal(heat, 77);
  await context.close();
});

test("a killed tab's stored queue is sent by the next one", { skip }, async () => {
  const context = await browser.newContext();
  const first = await context.newPage();
  await first.goto(origin);
  const start = async ([http, ws]) => {
    const { connect } = await import(`${http}/client.js`);
    const { offlineQueue } = await import(`${http}/client/offline.js`);
    globalThis.db = connect(ws, { retry: { minMs: 5, baseMs: 20, maxMs: 100 }, queue: offlineQueue("tab") });
  };
  await first.evaluate(start, [server.http, server.url]);
  await first.evaluate(() => db.ready);
  await server.stop("SIGKILL");
  await until("offline", () => first.evaluate(() => db.status != "online"));
  await first.evaluate(() => { db.bucket("kilns").insert({ id: "kept", heat: 5 }); });
  await until("queued", () => first.evaluate(() => db.pending().length == 1));
  await until("stored", () => first.evaluate(() => new Promise((resolve) => {
    const request = indexedDB.open("noexd:tab");
    request.onsuccess = () => {
      const all = request.result.transaction("writes").objectStore("writes").getAll();
      all.onsuccess = () => (request.result.close(), resolve(all.result.length == 1));
    };
  })));
  await first.close();
  await server.start();
  const second = await context.newPage();
  await second.goto(origin);
  await second.evaluate(start, [server.http, server.url]);
  await until("sent", () => second.evaluate(async () => (await db.bucket("kilns").get("kept"))?.heat == 5));
  assert.deepEqual(await second.evaluate(() => db.pending()), []);
  await context.close();
});

test("a stored queue of two users: the next tab uses no number again, and each one's changes wait for him", { skip }, async (t) => {
  const users = Object.fromEntries(["ada", "bob"].map((userId) => [userId, { userId, roles: ["admin"] }]));
  const own = await serve({ buckets, allowedOrigins: [origin], auth: { tokens: users, required: false } });
  t.after(() => own.end());
  const context = await browser.newContext();
  const start = async ([http, ws]) => {
    const { connect } = await import(`${http}/client.js`);
    const { offlineQueue } = await import(`${http}/client/offline.js`);
    globalThis.db = connect(ws, { retry: { minMs: 5, baseMs: 20, maxMs: 100 }, queue: offlineQueue("two") });
    await db.ready;
  };
  const visit = async () => {
    const page = await context.newPage();
    await page.goto(origin);
    await page.evaluate(start, [own.http, own.url]);
    return page;
  };
  const first = await visit();
  await first.evaluate(() => db.login({ token: "ada" }));
  await own.stop("SIGKILL");
  await until("offline", () => first.evaluate(() => db.status != "online"));
  await first.evaluate(async () => { db.bucket("kilns").insert({ id: "of ada", heat: 1 }).catch(() => {}); await db.logout(); });
  await own.start();
  await first.evaluate(() => db.bucket("kilns").insert({ id: "of nobody", heat: 2 }));
  assert.deepEqual(await first.evaluate(() => db.pending().map((one) => [one.n, one.parked])), [[1, true]]);
  await first.close();
  const second = await visit();
  await second.evaluate(() => db.bucket("kilns").insert({ id: "next", heat: 3 }));
  assert.deepEqual(await second.evaluate(() => db.pending().map((one) => [one.n, one.parked])), [[1, true]]);
  await second.evaluate(() => db.login({ token: "ada" }));
  await until("all is done", () => second.evaluate(async () => !db.pending().length && (await db.bucket("kilns").count()) == 3));
  await context.close();
});

test("a login kept for all tabs goes with one of them: the others are nobody on a connection of their own", { skip }, async (t) => {
  const own = await serve({ buckets, allowedOrigins: [origin], auth: { tokens: { ada: { userId: "ada", roles: ["admin"] } }, required: false } });
  t.after(() => own.end());
  const context = await browser.newContext();
  const visit = async () => {
    const page = await context.newPage();
    await page.goto(origin);
    await page.evaluate(async ([http, ws]) => {
      const { connect } = await import(`${http}/client.js`);
      globalThis.db = connect(ws, { retry: { minMs: 5, baseMs: 20, maxMs: 100 }, tokenStore: "local" });
      await db.ready;
    }, [own.http, own.url]);
    return page;
  };
  const [one, two] = [await visit(), await visit()];
  const user = (page) => page.evaluate(() => (db.status == "online" ? db.user?.userId ?? "nobody" : db.status));
  await one.evaluate(() => db.login({ token: "ada" }));
  await until("the other too", async () => (await user(two)) == "ada");
  await one.evaluate(() => db.logout());
  await until("the other not any more", async () => (await user(two)) == "nobody");
  assert.equal(await two.evaluate(() => db.request("auth.whoami").then((who) => who.authenticated)), false);
  await two.evaluate(() => db.bucket("kilns").insert({ heat: 4 }));
  await context.close();
});
