// hooks.js, tanstack.js, offline.js, presence.js, snapshots.
import "fake-indexeddb/auto";
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { createCollection } from "@tanstack/db";
import * as React from "react";
import { renderToString } from "react-dom/server";
import { connect, fast, script, serve, until, WebSocket } from "./rig.mjs";

const form = process.env.NOEXD_CLIENT ?? "client";
const { createHooks } = await import(`../../src/web/${form}/hooks.js`);
const { noexdCollection } = await import(`../../src/web/${form}/tanstack.js`);
const { offlineQueue } = await import(`../../src/web/${form}/offline.js`);
const { joinPresence } = await import(`../../src/web/${form}/presence.js`);

/** Web Locks, which Node 20 does not have. */
const held = new Set();
const locks = {
  async request(lock, _, fn) {
    if (held.has(lock)) return fn(null);
    held.add(lock);
    try { return await fn({}); } finally { held.delete(lock); }
  },
};
const setLocks = (value) => Object.defineProperty(globalThis, "navigator", { value, configurable: true });
setLocks({ locks });

const people = { people: { key: "id", schema: { id: { type: "string" }, name: { type: "string" }, age: { type: "number" } } } };
let server;
before(async () => { server = await serve({ buckets: people }); });
after(() => server.end());
const open = (options) => connect(server.url, { WebSocket, ...fast, ...options });

test("hooks show a snapshot; hydrated Lives are there at once and become live", async () => {
  const db = open();
  const bucket = db.bucket("people");
  await bucket.insertMany([{ id: "a", name: "Ada" }, { id: "b", name: "Bob" }]);
  const ask = { sort: { name: "asc" } };
  await bucket.live(ask).loaded();
  const { useLive, useStatus, useUser, useSuspenseLive } = createHooks(React);
  const page = (client) => function Page() {
    const { data, status } = useLive(client.bucket("people").live(ask));
    useUser(client);
    return React.createElement("p", null, `${useStatus(client)} ${status} ${data?.map((row) => row.name)}`);
  };
  assert.equal(renderToString(React.createElement(page(db))), "<p>idle live Ada,Bob</p>");
  const kept = JSON.parse(JSON.stringify(db.snapshot()));
  const other = open({ hydrate: kept, lazy: true });
  assert.equal(renderToString(React.createElement(page(other))), "<p>idle stale Ada,Bob</p>");
  const live = other.bucket("people").live(ask);
  const before = live.data[0];
  await live.loaded();
  assert.equal(live.data[0], before);
  const Sure = () => React.createElement("i", null, useSuspenseLive(live).length);
  assert.equal(renderToString(React.createElement(Sure)), "<i>2</i>");
  const Nothing = () => React.createElement("i", null, useLive(null).status);
  assert.equal(renderToString(React.createElement(Nothing)), "<i>loading</i>");
  await bucket.clear();
  await db.close();
  await other.close();
});

test("TanStack DB: rows come and go, optimistic changes land without flicker", async () => {
  const db = open();
  const bucket = db.bucket("people");
  await bucket.clear();
  await bucket.insert({ id: "a", name: "Ada", age: 1 });
  const collection = createCollection(noexdCollection({ db, bucket: "people" }));
  await collection.preload();
  assert.deepEqual(collection.toArray.map((row) => row.name), ["Ada"]);
  const sizes = [];
  collection.subscribeChanges(() => sizes.push(collection.size));
  const insert = collection.insert({ id: "b", name: "Bob", age: 2 });
  assert.equal(collection.size, 2);
  await insert.isPersisted.promise;
  assert.equal(collection.size, 2);
  assert.ok(!sizes.includes(1), `flickered: ${sizes}`);
  assert.equal((await bucket.get("b")).name, "Bob");
  await collection.update("b", (draft) => { draft.name = "Bea"; }).isPersisted.promise;
  assert.equal(collection.get("b").name, "Bea");
  assert.equal((await bucket.get("b")).name, "Bea");
  await bucket.update("a", { age: 7 });
  await until("a change from elsewhere", () => collection.get("a").age == 7);
  await collection.delete("a").isPersisted.promise;
  assert.equal(collection.size, 1);
  assert.equal(await bucket.get("a"), null);
  await assert.rejects(collection.insert({ id: "c", age: "x" }).isPersisted.promise);
  assert.equal(collection.has("c"), false);
  await db.close();
});

test("TanStack DB: an error before the first result", async () => {
  const db = open();
  const none = createCollection(noexdCollection({ db, bucket: "people", query: "nowhere" }));
  await assert.rejects(none.preload(), /nowhere|not defined/);
  const keyless = createCollection(noexdCollection({ db, bucket: "people", config: { fields: ["name"] } }));
  await db.bucket("people").upsert({ id: "z", name: "Zoe" });
  await assert.rejects(keyless.preload(), /key field/);
  await db.close();
});

test("a stored queue: what one page left, the next one sends, once, under its number", async () => {
  const sent = [];
  let isAnswering = false;
  const fake = await script((message, peer) => {
    if (message.type == "session.open") return peer.answer(message, { epoch: "e", commit: 0, session: message.resume ? "known" : "new", newest: 0, features: ["once"] });
    if (message.type == "session.sync") return peer.answer(message, { commit: 9, complete: true });
    if (message.type != "store.insert") return;
    sent.push([message.data.n, message.once]);
    if (isAnswering) peer.answer(message, message.data, { commit: 1 });
  });
  const first = connect(fake.url, { WebSocket, ...fast, queue: offlineQueue("t1") });
  await first.ready;
  const results = [1, 2].map((n) => first.bucket("b").insert({ n }));
  results.forEach((one) => one.catch(() => {}));
  await until("both sent", () => sent.length == 2);
  await first.close();
  assert.deepEqual((await Promise.allSettled(results)).map((one) => one.reason.code), ["UNKNOWN_OUTCOME", "UNKNOWN_OUTCOME"]);

  isAnswering = true;
  const second = connect(fake.url, { WebSocket, ...fast, queue: offlineQueue("t1") });
  const told = [];
  second.on("write", (write) => told.push([write.n, write.state]));
  await until("both again", () => told.length == 2);
  assert.deepEqual(sent.slice(2), [[1, 1], [2, 2]]);
  assert.deepEqual(told, [[1, "done"], [2, "done"]]);
  await second.bucket("b").insert({ n: 3 });
  assert.deepEqual(sent.at(-1), [3, 3]);
  await second.close();

  const third = connect(fake.url, { WebSocket, ...fast, queue: offlineQueue("t1") });
  await third.ready;
  assert.deepEqual(third.pending(), []);
  await third.close();
  await fake.end();
});

test("a stored queue that was never sent survives a forgotten session", async () => {
  const sent = [];
  const fake = await script((message, peer) => {
    if (message.type == "session.open") {
      return message.resume ? peer.fail(message, "NOT_FOUND", "Session not found") : peer.answer(message, { epoch: "e", features: ["once"] });
    }
    if (message.type == "session.sync") return peer.answer(message, { commit: 9, complete: true });
    sent.push([message.data.n, message.once]);
    if (message.data.n != 1) peer.answer(message, message.data);
  });
  const first = connect(fake.url, { WebSocket, ...fast, queue: offlineQueue("t2") });
  await first.ready;
  first.bucket("b").insert({ n: 1 }).catch(() => {});
  await until("sent", () => sent.length == 1);
  fake.peers[0].socket.terminate();
  await until("offline", () => first.status != "online");
  first.bucket("b").insert({ n: 2 }).catch(() => {});
  await until("kept", () => first.pending().length == 2);
  await first.close();
  const second = connect(fake.url, { WebSocket, ...fast, queue: offlineQueue("t2") });
  const told = [];
  second.on("write", (write) => told.push([write.n, write.error?.code ?? write.state]));
  await until("both ended", () => told.length == 2);
  assert.deepEqual(told.map((one) => one[1]), ["UNKNOWN_OUTCOME", "done"]);
  assert.deepEqual(sent.at(-1), [2, 1]);
  await second.close();
  await fake.end();
});

test("presence: the own record at each connect, changed, deleted", async () => {
  const db = open();
  await db.ready;
  const me = joinPresence(db, { bucket: "people", data: { name: "Ada" } });
  const live = me.live;
  live.subscribe(() => {});
  await until("here", () => live.data?.some((row) => row.id == me.key));
  await me.update({ age: 3 });
  await until("changed", () => live.data.find((row) => row.id == me.key).age == 3);
  await db.bucket("people").delete(me.key);
  await server.stop();
  await server.start();
  await until("here again", () => live.status == "live" && live.data.some((row) => row.id == me.key && row.age == 3));
  await me.leave();
  await until("gone", () => !live.data.some((row) => row.id == me.key));
  await db.close();
});

const opened = { epoch: "e", commit: 0, session: "new", newest: 0, features: ["once"] };
/** A server that answers changes as long as `isOpen` says so; `done`: whose and what. */
function shop(isOpen = () => true) {
  const users = new Map(), done = [];
  return script((message, peer) => {
    if (message.type == "auth.login") return users.set(peer, message.token), peer.answer(message, { userId: message.token, roles: [] });
    if (message.type == "session.open") return peer.answer(message, opened);
    if (message.type != "store.insert") return peer.answer(message, { commit: 9, complete: true });
    if (!isOpen(message)) return;
    done.push([users.get(peer), message.data.n, message.once]);
    peer.answer(message, message.data, { commit: 1 });
  }).then((fake) => Object.assign(fake, { done }));
}
const rows = (name) => new Promise((resolve, reject) => {
  const request = indexedDB.open(`noexd:${name}`, 1);
  request.onerror = () => reject(request.error);
  request.onsuccess = () => {
    const all = request.result.transaction("writes").objectStore("writes").getAll();
    all.onsuccess = () => (request.result.close(), resolve(all.result));
  };
});
/** A page that is gone, whose changes (of `users`) were never answered. */
async function gonePage(name, users) {
  const fake = await shop(() => false);
  const db = connect(fake.url, { WebSocket, ...fast, queue: offlineQueue(name) });
  await db.ready;
  for (const [n, token] of users.entries()) {
    await db.login({ token });
    db.bucket("b").insert({ n }).catch(() => {});
  }
  await until("stored", async () => (await rows(name)).length == users.length);
  await db.close();
  await until("gone", () => !held.size);
  await fake.end();
}

test("a stored queue: a change that gets another number while it is being stored is there once", async () => {
  const fake = await shop(), sockets = [];
  class Spy extends WebSocket { constructor(...args) { super(...args); sockets.push(this); } }
  const db = connect(fake.url, { WebSocket: Spy, ...fast, queue: offlineQueue("renewed") });
  await db.ready;
  for (let n = 0; n < 3; n++) await db.bucket("b").insert({ n });
  const stray = db.bucket("b").insert({ n: 3 });
  sockets.at(-1).onclose({ code: 4004, reason: "session_replaced" });
  await stray;
  await until("nothing is left", async () => !(await rows("renewed")).length);
  await until("one lock", () => held.size == 1);
  await db.close();
  await until("no lock", () => !held.size);
  assert.deepEqual(fake.done.map(([, n]) => n), [0, 1, 2, 3]);
  await fake.end();
});

test("a stored queue keeps nothing that is not numbered", async () => {
  const fake = await shop(() => false);
  const db = connect(fake.url, { WebSocket, ...fast, queue: offlineQueue("unnumbered") });
  const told = [];
  db.on("write", ({ error }) => told.push(error.code));
  await db.ready;
  const once = assert.rejects(db.bucket("b").insert({ n: 1 }, { once: false }), { code: "UNKNOWN_OUTCOME" });
  db.bucket("b").insert({ n: 2 }).catch(() => {});
  await until("stored", async () => (await rows("unnumbered")).length);
  assert.deepEqual((await rows("unnumbered")).map((one) => one.fields.data.n), [2]);
  await db.close();
  await once;
  assert.deepEqual(told, ["UNKNOWN_OUTCOME"]);
  await fake.end();
});

test("without Web Locks a queue is in memory: nobody's changes are sent by somebody else", async (t) => {
  await gonePage("lockless", ["ada"]);
  setLocks({});
  t.after(() => setLocks({ locks }));
  const fake = await shop();
  const db = connect(fake.url, { WebSocket, ...fast, auth: { token: "ada" }, queue: offlineQueue("lockless") });
  await db.bucket("b").insert({ n: 7 });
  assert.deepEqual([fake.done, fake.peers.length, db.pending()], [[["ada", 7, 1]], 1, []]);
  await db.close();
  await fake.end();
});

test("what gone pages left goes with our login, each one's with his; nothing stays open for what is parked", async () => {
  // The first is taken over as our own queue, the second is adopted.
  const fake = await shop();
  const first = connect(fake.url, { WebSocket, ...fast, queue: offlineQueue("gone") });
  await first.ready;
  const own = [...held];
  own.forEach((lock) => held.delete(lock));
  await gonePage("gone", ["bob", "ada"]);
  own.forEach((lock) => held.add(lock));
  assert.deepEqual(fake.done, []);
  await first.login({ token: "ada" });
  await until("hers", () => fake.done.length == 1);
  await until("let go", () => held.size == 1);
  await first.login({ token: "bob" });
  await until("his", () => fake.done.length == 2);
  await until("let go", () => held.size == 1);
  assert.deepEqual(fake.done, [["ada", 1, 2], ["bob", 0, 1]]);
  assert.equal(first.user.userId, "bob");
  await first.close();
  await until("no lock", () => !held.size);
  await fake.end();
});

test("a stored queue that is closed while it is loaded or adopts lets every lock go", async () => {
  const fake = await shop();
  for (let turns = 0; turns < 12; turns++) {
    const db = connect(fake.url, { WebSocket, ...fast, queue: offlineQueue(`closed${turns}`) });
    for (let i = 0; i < turns; i++) await new Promise(setImmediate);
    if (turns > 9) await db.ready;
    await db.close();
    await until("no lock", () => !held.size);
  }
  await fake.end();
});

test("presence without a login: the newest state waits, and no more of it", async () => {
  let isOver;
  const fake = await script((message, peer) => {
    if (message.type == "auth.login") return peer.answer(message, { userId: message.token, roles: [] });
    if (message.type == "session.open") return peer.answer(message, opened);
    if (message.type == "store.get" && isOver) return peer.fail(message, "UNAUTHORIZED", "Session expired");
    peer.answer(message, message.data ?? {});
  });
  let asked = 0;
  const db = connect(fake.url, { WebSocket, ...fast, auth: { getToken: async () => (asked++ ? null : "ada") } });
  await db.ready;
  const me = joinPresence(db, { bucket: "here", key: "me" });
  isOver = true;
  await assert.rejects(db.bucket("b").get(1), { code: "UNAUTHORIZED" });
  await until("over", () => !db.user);
  const updates = Array.from({ length: 100 }, (_, x) => me.update({ x }));
  assert.ok(db.pending().length <= 2, `${db.pending().length}`);
  await db.login({ token: "ada" });
  await Promise.all(updates);
  assert.equal(fake.peers[0].heard.filter((one) => one.type == "store.upsert").at(-1).data.x, 99);
  await db.close();
  await fake.end();
});

test("TanStack DB: a value has no rows, and says so", async () => {
  const db = open();
  const count = createCollection(noexdCollection({ db, bucket: "people", config: { aggregate: { function: "count" } } }));
  await assert.rejects(count.preload(), /key field/);
  await db.close();
});
