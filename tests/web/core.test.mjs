// Requests, live queries and the connection, against the real binary.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { connect, fast, NoexdError, serve, until, WebSocket, version } from "./rig.mjs";

const kilns = { kilns: { key: "id", schema: { id: { type: "string", generated: "uuid" }, heat: { type: "number" }, room: { type: "string" } } } };
const queries = { hot: { bucket: "kilns", filter: { heat: { $gt: "{{ params.above }}" } }, sort: { heat: "desc" } } };
let server;
before(async () => { server = await serve({ buckets: kilns, queries }); });
after(() => server.end());

const open = (options) => connect(server.url, { WebSocket, ...fast, ...options });
const heats = (live) => live.data?.map((row) => row.heat);

test("every function of a bucket answers", async () => {
  const db = open();
  const bucket = db.bucket("kilns");
  await bucket.clear();
  const one = await bucket.insert({ heat: 5, room: "a" });
  assert.deepEqual(await bucket.get(one.id), one);
  assert.equal(await bucket.get("nobody"), null);
  assert.equal((await bucket.update(one.id, { heat: 6 })).heat, 6);
  assert.equal((await bucket.update(one.id, undefined, { apply: { heat: { $inc: 2 } } })).heat, 8);
  await assert.rejects(bucket.update(one.id, { heat: 1 }, { expect: { heat: 7 } }), { code: "CONFLICT", operation: "store.update" });
  assert.equal((await bucket.insertMany([{ heat: 1, room: "a" }, { heat: 2, room: "b" }])).length, 2);
  assert.equal((await bucket.upsert({ ...one, heat: 9 })).heat, 9);
  assert.equal((await bucket.all()).length, 3);
  assert.equal(await bucket.count(), 3);
  assert.equal(await bucket.count({ room: "a" }), 2);
  assert.equal((await bucket.where({ room: "b" })).length, 1);
  assert.equal((await bucket.findOne({ room: "b" })).heat, 2);
  assert.deepEqual((await bucket.find({ sort: { heat: "desc" }, limit: 1 })).map((row) => row.heat), [9]);
  assert.deepEqual([await bucket.sum("heat"), await bucket.avg("heat"), await bucket.min("heat"), await bucket.max("heat", { room: "b" })], [12, 4, 1, 2]);
  assert.equal((await bucket.groupBy("room", { function: "count" })).length, 2);
  assert.deepEqual([(await bucket.first(2)).length, (await bucket.last(1)).length], [2, 1]);
  assert.equal((await bucket.paginate({ limit: 2 })).records.length, 2);
  const sizes = [];
  for await (const page of bucket.pages(2)) sizes.push(page.length);
  assert.deepEqual(sizes, [2, 1]);
  assert.equal(await bucket.updateMany({ room: "a" }, { room: "c" }), 2);
  assert.equal(await bucket.deleteMany({ room: "c" }), 2);
  const results = await db.transaction([{ op: "insert", bucket: "kilns", data: { id: "t", heat: 3 } }, { op: "delete", bucket: "kilns", key: "t" }]);
  assert.equal(results[0].heat, 3);
  await bucket.clear();
  assert.equal(await bucket.count(), 0);
  await db.close();
});

test("families are proxies, errors are told", async () => {
  const db = open();
  assert.ok(await db.store.buckets());
  assert.equal(await db.store, db.store);
  await assert.rejects(db.store.nothing({}), (error) =>
    error instanceof NoexdError && error.code == "UNKNOWN_OPERATION" && !error.retryable && error.operation == "store.nothing");
  await assert.rejects(db.bucket("kilns").insert({ heat: "x" }), (error) => error.code == "VALIDATION_ERROR" && error.issues.length == 1);
  await assert.rejects(db.bucket("kilns").insert({ room: "x".repeat(2_000_000) }), { code: "TOO_LARGE" });
  const stop = new AbortController();
  const read = db.bucket("kilns").all({ signal: stop.signal });
  stop.abort();
  await assert.rejects(read, { code: "ABORTED" });
  assert.match(version, /^\d+\.\d+\.\d+$/);
  await db.close();
  await assert.rejects(db.bucket("kilns").all(), { code: "CLOSED" });
});

test("one Live for equal queries; rows keep their identity", async () => {
  const db = open();
  const bucket = db.bucket("kilns");
  await bucket.clear();
  const [a, b] = await bucket.insertMany([{ heat: 2000 }, { heat: 1500 }]);
  const live = db.live("hot", { above: 1000 });
  assert.equal(db.live("hot", { above: 1000 }), live);
  assert.notEqual(db.live("hot", { above: 1 }), live);
  assert.equal(live.status, "loading");
  const seen = [];
  const stop = live.subscribe((snapshot, change) => seen.push([snapshot, change]));
  await live.loaded();
  assert.deepEqual(heats(live), [2000, 1500]);
  const before = live.data;
  await bucket.insert({ id: "c", heat: 1700 });
  await live.loaded();
  await until("the insert shows", () => live.data.length == 3);
  assert.ok(Object.isFrozen(live.data));
  assert.notEqual(live.data, before);
  assert.equal(live.data[0], before[0]);
  assert.equal(live.data[2], before[1]);
  assert.deepEqual(heats(live), [2000, 1700, 1500]);
  await until("told", () => seen.at(-1)[0].data.length == 3);
  assert.deepEqual(seen.at(-1)[1], { removed: [], added: ["c"], changed: [] });
  assert.equal(live.snapshot(), live.snapshot());
  await bucket.update(b.id, { heat: 3000 });
  await until("moved", () => heats(live)[0] == 3000);
  assert.deepEqual(heats(live), [3000, 2000, 1700]);
  await bucket.delete(a.id);
  await until("gone", () => live.data.length == 2);
  stop();
  await db.close();
});

test("aggregates, groups, ad-hoc queries, views", async () => {
  const db = open();
  const bucket = db.bucket("kilns");
  await bucket.clear();
  const top = bucket.live({ aggregate: { function: "max", field: "heat" } });
  const rooms = bucket.live({ aggregate: { function: "count", groupBy: "room" } });
  const stops = [top, rooms].map((live) => live.subscribe(() => {}));
  assert.equal(await top.loaded(), null);
  assert.deepEqual(await rooms.loaded(), []);
  await bucket.insertMany([{ heat: 1, room: "a" }, { heat: 5, room: "b" }, { heat: 4, room: "b" }]);
  await until("aggregates", () => top.data == 5 && rooms.data.length == 2);
  assert.deepEqual(rooms.data.map((group) => group.value).sort(), [1, 2]);
  await db.logic.defineView({ definition: { name: "byRoom", from: { k: "kilns" }, groupBy: "k.room", select: { room: "k.room", n: { $count: "*" } }, reactive: true } });
  const view = db.view("byRoom");
  stops.push(view.subscribe(() => {}));
  assert.equal((await view.loaded()).length, 2);
  const before = view.data;
  await bucket.insert({ heat: 1, room: "c" });
  await until("the view", () => view.data.length == 3);
  assert.equal(view.data[0], before[0]);
  await db.logic.dropView({ name: "byRoom" });
  stops.forEach((stop) => stop());
  await db.close();
});

test("a Live looks at a part of its result, and elsewhere", async () => {
  const db = open();
  const bucket = db.bucket("kilns");
  await bucket.clear();
  await bucket.insertMany(Array.from({ length: 50 }, (_, n) => ({ id: `k${n}`, heat: n })));
  const live = bucket.live({ sort: { heat: "asc" } });
  const changes = [];
  const stop = live.subscribe((_, change) => changes.push(change));
  await live.loaded();
  assert.equal(live.window, undefined);
  assert.equal(live.data.length, 50);
  const before = live.data;
  await live.move({ offset: 10, limit: 3 });
  assert.deepEqual([heats(live), live.window], [[10, 11, 12], { offset: 10, limit: 3 }]);
  assert.equal(live.data[0], before[10], "rows keep their identity");
  await live.move({ offset: 12 });
  assert.deepEqual([heats(live), live.snapshot().window], [[12, 13, 14], { offset: 12, limit: 3 }]);
  await until("told", () => changes.at(-1).removed?.length == 2);
  assert.deepEqual(changes.at(-1), { removed: ["k10", "k11"], added: ["k13", "k14"], changed: [] });
  await bucket.insert({ id: "new", heat: 11.5 });
  await until("pushed on", () => heats(live)[0] == 11.5);
  assert.deepEqual(heats(live), [11.5, 12, 13]);
  await bucket.insert({ id: "far", heat: 99 });
  await Promise.all([live.move({ offset: 0 }), live.move({ limit: 2 }), live.move({ offset: 50 })]);
  assert.deepEqual(heats(live), [49, 99]);
  await live.move({ offset: 1000 });
  assert.deepEqual(live.data, []);
  stop();

  // Before anybody asks: the first answer is of the window.
  const early = bucket.live({ sort: { heat: "desc" } });
  await early.move({ limit: 2 });
  const end = early.subscribe(() => {});
  assert.deepEqual(heats(early), [99, 49]);
  end();
  for (const query of [{ aggregate: { function: "count" } }, { aggregate: { function: "count", groupBy: "room" } }]) {
    const count = bucket.live(query);
    const off = count.subscribe(() => {});
    await count.loaded();
    await assert.rejects(count.move({ limit: 2 }), { code: "UNSUPPORTED" });
    assert.equal(count.status, "live");
    off();
  }
  const odd = bucket.live({ aggregate: { function: "max", field: "heat" } });
  const off = odd.subscribe(() => {});
  await assert.rejects(bucket.live({ aggregate: { function: "min", field: "heat" } }).move({}), { code: "VALIDATION_ERROR" });
  assert.equal(await odd.loaded(), 99);
  off();
  await db.close();
});

test("a query that is not there yet, one that goes", async () => {
  const db = open();
  const live = db.live("later", {});
  const stop = live.subscribe(() => {});
  await assert.rejects(live.loaded(), { code: "QUERY_NOT_DEFINED" });
  assert.equal(live.status, "error");
  await db.store.defineQuery({ name: "later", config: { bucket: "kilns" } }).catch(() => db.store.defineQuery({ name: "later", bucket: "kilns" }));
  await until("asked again by itself", () => live.status == "live");
  await db.store.undefineQuery({ name: "later" });
  await until("ended", () => live.error?.code == "queryUndefined");
  assert.ok(Array.isArray(live.data));
  stop();
  await db.close();
});

test("iterators give the newest state and end with the client", async () => {
  const db = open();
  const bucket = db.bucket("kilns");
  await bucket.clear();
  const counts = [];
  const all = (async () => { for await (const rows of bucket.live({}, undefined)) counts.push(rows.length); })();
  await until("first", () => counts.length == 1);
  await bucket.insert({ heat: 1 });
  await until("second", () => counts.at(-1) == 1);
  await db.close();
  await all;
});

test("events reach each listener, and end", async () => {
  const db = open();
  const got = [];
  const stops = ["a", "b"].map((who) => db.events("kiln.*", (event, topic) => got.push([who, topic, event.data])));
  await db.ready;
  await db.rules.emit({ topic: "kiln.lit", data: { id: 1 } });
  await until("both", () => got.length == 2);
  assert.deepEqual(got, [["a", "kiln.lit", { id: 1 }], ["b", "kiln.lit", { id: 1 }]]);
  stops.forEach((stop) => stop());
  await db.rules.emit({ topic: "kiln.lit", data: { id: 2 } });
  await db.bucket("kilns").count();
  assert.equal(got.length, 2);
  await db.close();
});

test("a restart in the middle: data stays, reads and changes go on, identity is kept", async () => {
  const own = await serve({ buckets: kilns, queries, dataDir: `${server.dir}/data` });
  const db = connect(own.url, { WebSocket, ...fast, staleAfterMs: 1 });
  const bucket = db.bucket("kilns");
  await bucket.insertMany([{ id: "a", heat: 2 }, { id: "b", heat: 1 }]);
  const live = bucket.live({ sort: { heat: "asc" } });
  const statuses = [];
  live.subscribe((snapshot) => statuses.push(snapshot.status));
  await live.loaded();
  const before = live.data;
  await own.stop("SIGKILL");
  await until("stale", () => live.status == "stale");
  assert.equal(live.data, before);
  const read = bucket.get("a", { timeoutMs: 30000 });
  const write = bucket.insert({ id: "c", heat: 3 });
  await assert.rejects(db.store.defineBucket({ name: "x", config: {} }), { code: "OFFLINE", retryable: true });
  assert.equal(db.pending().length, 1);
  await own.start();
  assert.equal((await read).heat, 2);
  assert.equal((await write).heat, 3);
  await until("live again", () => live.status == "live" && live.data.length == 3);
  assert.equal(live.data[0], before[0]);
  assert.equal(live.data[1], before[1]);
  assert.deepEqual(db.pending(), []);
  await db.close();
  await own.end();
});

test("many subscriptions come and go: nothing stays on the server", async () => {
  const db = open({ keepMs: 1 });
  const bucket = db.bucket("kilns");
  for (let round = 0; round < 200; round++) {
    const live = bucket.live({ filter: { heat: { $gt: round } } });
    const stop = live.subscribe(() => {});
    await live.loaded();
    stop();
  }
  await until("all unsubscribed", async () => (await db.server.stats()).connections.totalStoreSubscriptions == 0);
  await db.close();
});

test("heartbeats are answered", async () => {
  const own = await serve({ heartbeat: { intervalMs: 50, timeoutMs: 50 } });
  const db = connect(own.url, { WebSocket, ...fast });
  await db.ready;
  let breaks = 0;
  db.on("status", () => breaks++);
  const began = performance.now();
  await until("twenty intervals", () => performance.now() - began > 1000);
  assert.equal(breaks, 0);
  assert.equal(db.status, "online");
  await db.close();
  await own.end();
});

test("built-in identity: a login, its token, who may not", async () => {
  const secret = "0123456789abcdef";
  const own = await serve({ auth: { builtIn: true, adminSecret: secret }, buckets: kilns });
  const admin = connect(own.url, { WebSocket, ...fast, auth: { secret } });
  await admin.ready;
  assert.equal(admin.user.userId, "__superadmin__");
  await admin.identity.createUser({ username: "ada", password: "correct horse", roles: ["writer"] }).catch(async () => {
    await admin.identity.createUser({ username: "ada", password: "correct horse" });
  });
  const kept = new Map();
  const tokenStore = { get: () => kept.get("t"), set: (token) => void kept.set("t", token), delete: () => void kept.delete("t") };
  const db = connect(own.url, { WebSocket, ...fast, tokenStore });
  const live = db.bucket("kilns").live({});
  live.subscribe(() => {});
  await assert.rejects(live.loaded(), { code: "UNAUTHORIZED" });
  await assert.rejects(db.login({ username: "ada", password: "wrong" }), { code: "UNAUTHORIZED" });
  const user = await db.login({ username: "ada", password: "correct horse" });
  assert.ok(user.userId && user.expiresAt);
  const again = connect(own.url, { WebSocket, ...fast, tokenStore });
  await again.ready;
  assert.equal(again.user.userId, user.userId);
  await again.logout();
  assert.equal(kept.size, 0);
  await Promise.all([admin.close(), db.close(), again.close()]);
  await own.end();
});
