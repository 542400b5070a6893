// A browser's own `EventSource` at `/live`: what it is sent, who may open it, and
// that it comes back by itself with the position it had after `kill -9`.
import assert from "node:assert/strict";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { launch, page as makePage, skip } from "./chromium.mjs";
import { serve, until } from "./rig.mjs";

const buckets = { kilns: { key: "id", schema: { id: { type: "string" }, heat: { type: "number" } } } };
const queries = { hot: { bucket: "kilns", filter: { heat: { $gte: 100 } }, sort: { heat: "desc" }, fields: ["heat"] } };

let browser, server, site, stranger, dir;
before(async () => {
  if (skip) return;
  browser = await launch();
  [site, stranger] = [await makePage(), await makePage()];
  dir = await mkdtemp(join(tmpdir(), "noexd-eventsource-"));
  server = await serve({ buckets, queries, http: true, allowedOrigins: [site.origin], dataDir: dir, durability: "always" });
});
after(async () => {
  await browser?.close();
  site?.end();
  stranger?.end();
  await server?.end();
  if (dir) await rm(dir, { recursive: true, force: true });
});

const rpc = async (type, fields) => {
  const answer = await fetch(`${server.http}/rpc`, { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify({ type, ...fields }) });
  return (await answer.json()).data;
};
const heat = (id, value) => rpc("store.upsert", { bucket: "kilns", data: { id, heat: value } });

/** A page that keeps what its stream has sent. */
async function listen(origin, path) {
  const page = await browser.newPage();
  await page.goto(origin);
  await page.evaluate((url) => {
    globalThis.heard = [];
    globalThis.source = new EventSource(url);
    for (const kind of ["snapshot", "resumed", "change", "end"]) {
      source.addEventListener(kind, ({ data, lastEventId }) => heard.push({ kind, data: JSON.parse(data), id: lastEventId }));
    }
    globalThis.failed = 0;
    source.addEventListener("error", () => { failed += 1; });
  }, `${server.http}${path}`);
  const count = (most) => until(`${most} events`, () => page.evaluate((most) => heard.length >= most, most));
  return { page, count, heard: () => page.evaluate(() => heard) };
}

test("a stream tells every change and resumes after kill -9", { skip }, async () => {
  await heat("a", 120);
  const { page, count, heard } = await listen(site.origin, "/live?query=hot&mode=delta&positions=false");
  await count(1);
  await heat("b", 900);
  await count(2);
  const [snapshot, change] = await heard();
  assert.equal(snapshot.kind, "snapshot");
  assert.deepEqual(snapshot.data.data, [{ heat: 120 }]);
  assert.equal(change.kind, "change");
  assert.deepEqual(change.data.added.map(({ key, row }) => [key, row.heat]), [["b", 900]]);
  assert.ok(change.id && change.id != snapshot.id, "a position with every event");
  await server.stop("SIGKILL");
  await until("the stream has noticed", () => page.evaluate(() => failed > 0));
  await server.start();
  // Done before or after it is back: told either way, and once.
  await heat("c", 500);
  await until("the stream is back", async () => (await heard()).some(({ data }) => JSON.stringify(data).includes('"c"')));
  const behind = (await heard()).slice(2);
  assert.equal(behind[0].kind, "resumed", "with Last-Event-ID, and not from the beginning");
  const told = behind.flatMap(({ data }) => [...(data.added ?? []), ...(data.changed ?? [])]).map(({ key }) => key);
  assert.deepEqual(told, ["c"]);
  assert.ok(!behind.some(({ kind }) => kind == "snapshot"));
  await page.close();
});

test("a page of another origin hears nothing", { skip }, async () => {
  const { page, heard } = await listen(stranger.origin, "/live?query=hot");
  await until("it was refused", () => page.evaluate(() => source.readyState == EventSource.CLOSED));
  assert.deepEqual(await heard(), []);
  await page.close();
});

test("what is wrong ends the stream for good", { skip }, async () => {
  const { page, heard } = await listen(site.origin, "/live?query=nothing");
  await until("it was refused", () => page.evaluate(() => source.readyState == EventSource.CLOSED));
  assert.deepEqual(await heard(), []);
  await page.close();
});
