// Random changes, cuts, kills and new definitions; at rest every Live is what a
// fresh question gives, and increments were done as often as their promises say.
import assert from "node:assert/strict";
import { test } from "node:test";
import { proxy } from "./proxy.mjs";
import { connect, fast, HERE, serve, until, WebSocket } from "./rig.mjs";

const seed = Number(process.env.SEED ?? (Date.now() % 1_000_000));
function generator(state) {
  return (n) => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return Math.floor((state / 2 ** 32) * n);
  };
}
const things = { things: { key: "id", schema: { id: { type: "number" }, n: { type: "number" }, group: { type: "string" } } } };
const plainRow = ({ id, n, group, _version }) => ({ id, n, group, _version });

test(`three clients, cuts and kills: at rest every Live is true (SEED=${seed})`, async (t) => {
  const pick = generator(seed);
  const server = await serve({ buckets: things, queries: { above: { bucket: "things", filter: { n: { $gt: "{{ params.n }}" } }, sort: { n: "asc" } } }, dataDir: HERE });
  t.after(() => server.end());
  const line = await proxy(() => server.port);
  const clients = [0, 1, 2].map(() => connect(line.url, { WebSocket, ...fast, staleAfterMs: 0 }));
  const direct = connect(server.url, { WebSocket, ...fast });
  await Promise.all(clients.map((db) => db.ready));
  const configs = [{}, { sort: { n: "desc", id: "asc" }, limit: 5 }, { filter: { group: "a" }, sort: { id: "asc" } }, { aggregate: { function: "sum", field: "n" } }, { aggregate: { function: "count", groupBy: "group" } }];
  const lives = clients.flatMap((db) => [...configs.map((config) => [db.bucket("things").live(config), () => direct.bucket("things").find(config)]),
    [db.live("above", { n: 40 }), () => direct.store.query({ query: "above", params: { n: 40 } })]]);
  const told = new Map();
  for (const [live] of lives) live.subscribe((snapshot) => told.set(live, snapshot));

  const writes = [];
  for (let step = 0; step < 240; step++) {
    const bucket = clients[pick(3)].bucket("things");
    const id = pick(25);
    const kind = pick(40);
    const optimistic = pick(3) == 0;
    if (kind < 16) writes.push(bucket.upsert({ id, n: pick(100), group: "abc"[pick(3)] }));
    else if (kind < 24) writes.push(bucket.update(id, { n: pick(100) }, { optimistic }));
    else if (kind < 30) writes.push(bucket.delete(id, { optimistic }));
    else if (kind < 32) writes.push(bucket.updateMany({ group: "a" }, { group: "b" }));
    else if (kind == 32) writes.push(bucket.clear());
    else if (kind == 33) line.cut();
    else if (kind == 34) line.cutAfter(pick(4000));
    else if (kind == 35 && step % 4 == 0) await server.stop("SIGKILL").then(server.start);
    else await Promise.race([Promise.allSettled(writes.slice(-3)), new Promise((resolve) => setTimeout(resolve, pick(30)))]);
    writes.at(-1)?.catch(() => {});
  }
  line.cut();
  const ends = await Promise.allSettled(writes);
  const codes = new Set(ends.filter((one) => one.reason).map((one) => one.reason.code));
  for (const code of codes) assert.ok(["NOT_FOUND", "UNKNOWN_OUTCOME"].includes(code), code);
  const text = (value) => JSON.stringify(Array.isArray(value) ? value.map((row) => ("value" in row ? row : plainRow(row))) : value);
  const isSet = (live, value) => (live.data?.some?.((row) => "value" in row) ? [...value].sort((a, b) => text([a]) < text([b]) ? -1 : 1) : value);
  for (const [live, ask] of lives) {
    let fresh;
    await until("a Live is true again", async () => {
      fresh = await ask();
      return live.status == "live" && text(isSet(live, live.data)) == text(isSet(live, fresh));
    }).catch((error) => {
      throw new Error(`${error.message}\n${live.status} ${live.error}\nshows ${text(live.data)}\nis    ${text(fresh)}`);
    });
    await until("listeners know", () => told.get(live).data === live.data);
  }
  await Promise.all([...clients, direct].map((db) => db.close()));
  line.end();
});

test("increments over cuts and kills: done as often as was said", async (t) => {
  const pick = generator(seed + 1);
  const server = await serve({ buckets: things, dataDir: HERE });
  t.after(() => server.end());
  const line = await proxy(() => server.port);
  const db = connect(line.url, { WebSocket, ...fast });
  const direct = connect(server.url, { WebSocket, ...fast });
  await direct.bucket("things").insert({ id: 1, n: 0 });
  await db.ready;
  const writes = [];
  for (let i = 0; i < 300; i++) {
    writes.push(db.bucket("things").update(1, undefined, { apply: { n: { $inc: 1 } } }));
    writes.at(-1).catch(() => {});
    if (pick(15) == 0) line.cutAfter(pick(3000));
    if (i % 60 == 59) await server.stop("SIGKILL").then(server.start);
    if (pick(4) == 0) await new Promise((resolve) => setTimeout(resolve, pick(10)));
  }
  const ends = await Promise.allSettled(writes);
  const done = ends.filter((one) => one.status == "fulfilled").length;
  const unknown = ends.filter((one) => one.reason?.code == "UNKNOWN_OUTCOME").length;
  assert.equal(done + unknown, 300);
  const { n } = await until("the sum", () => direct.bucket("things").get(1));
  assert.ok(n >= done && n <= done + unknown, `${done} done, ${unknown} unknown, sum ${n}`);
  // A server that numbers leaves nothing unknown.
  const answer = await direct.request("session.open").catch((error) => error.code);
  if (answer != "UNKNOWN_OPERATION") assert.deepEqual([unknown, n], [0, 300]);
  await Promise.all([db.close(), direct.close()]);
  line.end();
});

test("fifty clients of a restarted server come back spread out, none lost, one Live each", async (t) => {
  const server = await serve({ buckets: things, rateLimit: { maxRequests: 100, windowMs: 1000 } });
  t.after(() => server.end());
  const clients = Array.from({ length: 50 }, () => connect(server.url, { WebSocket, retry: { minMs: 5, baseMs: 300, maxMs: 1000 } }));
  const lives = clients.map((db) => db.bucket("things").live());
  for (const live of lives) live.subscribe(() => {});
  await until("all live", () => lives.every((live) => live.status == "live"), 30000);
  await server.stop();
  await until("all away", () => clients.every((db) => db.status != "online"));
  await server.start();
  await until("all live again", () => clients.every((db) => db.status == "online") && lives.every((live) => live.status == "live"), 30000);
  await Promise.all(clients.map((db) => db.close()));
});
