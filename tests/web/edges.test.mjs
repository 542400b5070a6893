// What says `live` is, what resolves has an answer, and what is closed stays closed.
import assert from "node:assert/strict";
import { test } from "node:test";
import { connect, fast, script, serve, until, WebSocket } from "./rig.mjs";

const buckets = { b: { key: "id", schema: { id: { type: "string" }, n: { type: "number" } } } };
const opened = { epoch: "e1", commit: 0, session: "new", replaced: false, newest: 0, features: ["once", "many"] };
const rows = (keys, more) => ({ subscriptionId: `s${keys}`, mode: "delta", shape: "rows", seq: 0, positions: true, key: "id", keys, data: keys.map((id) => ({ id })), ...more });
const ids = (live) => live.data.map((row) => row.id);
const settled = (promise) => {
  const one = { is: "pending" };
  promise.then((value) => Object.assign(one, { is: "done", value }), (error) => Object.assign(one, { is: error.code }));
  return one;
};

/** A WebSocket that says what it sent, and can be cut. */
function spy() {
  const sent = [], sockets = [];
  class Spy extends WebSocket {
    constructor(...args) { super(...args); sockets.push(this); }
    send(text) { sent.push(JSON.parse(text)); super.send(text); }
  }
  return { Spy, sent, sockets, of: (type) => sent.filter((one) => one.type == type), cut: () => sockets.at(-1).close() };
}

/** A server that answers everything that `on` does not. */
const serving = (on) => script((message, peer, n) => {
  if (on(message, peer, n)) return;
  if (message.type == "session.open") return peer.answer(message, opened);
  if (message.type == "session.sync") return peer.answer(message, { commit: 50, complete: true });
  peer.answer(message, message.data ?? {}, { commit: 1 });
});

/** `process` ends with what nobody catches: here it is collected. */
function reported(t) {
  const old = globalThis.reportError, errors = [];
  globalThis.reportError = (error) => errors.push(error.message);
  t.after(() => { globalThis.reportError = old; });
  return errors;
}

test("resume: keys go in pieces that the server takes, and stay out of a question that would not fit", async () => {
  const maxPayloadBytes = 3000, asked = [];
  const keysOf = (message) => Array.from({ length: message.params.n }, (_, i) => `key-${String(i).padStart(16, "0")}`);
  const server = await serving((message, peer) => {
    assert.ok(JSON.stringify(message).length <= maxPayloadBytes, message.type);
    if (message.type == "session.open") return peer.answer(message, { ...opened, maxPayloadBytes }), true;
    const list = message.subscriptions ?? (message.type == "store.subscribe" ? [message] : []);
    if (!list.length) return false;
    asked.push(list);
    const results = list.map((one) => rows(keysOf(one), { subscriptionId: `${asked.length}-${one.query}`, resume: { token: "t", commit: 1, keys: true } }));
    peer.answer(message, message.subscriptions ? { results } : results[0], { commit: 1 });
    return true;
  });
  const db = connect(server.url, { WebSocket, ...fast });
  const lives = [50, 50, 50, 200].map((n, i) => db.live(`q${i}`, { n }));
  for (const live of lives) live.subscribe(() => {});
  await until("live", () => lives.every((live) => live.status == "live"));
  asked.length = 0;
  server.peers[0].close(1012);
  await until("live again", () => asked.flat().length == 4 && lives.every((live) => live.status == "live"));
  assert.ok(asked.length > 1);
  assert.deepEqual(asked.flat().map((one) => one.resume.keys?.length), [50, 50, 50, undefined]);
  await db.close();
  await server.end();
});

test("1009: a subscription that is too long is found among many, said, and not asked for again", async () => {
  let tooLong = 0;
  const server = await serving((message, peer) => {
    const list = message.subscriptions ?? (message.query ? [message] : []);
    if (list.some((one) => one.query == "long")) return tooLong++, peer.close(1009), true;
    if (!list.length) return false;
    const results = list.map((one) => rows([one.query]));
    peer.answer(message, message.subscriptions ? { results } : results[0]);
    return true;
  });
  const db = connect(server.url, { WebSocket, ...fast });
  const [long, ...others] = ["long", "a", "b"].map((query) => db.live(query));
  for (const live of [long, ...others]) live.subscribe(() => {});
  await until("said", () => long.error?.code == "TOO_LARGE");
  await until("the others", () => db.status == "online" && others.every((live) => live.status == "live"));
  server.peers.at(-1).close(1012);
  await until("back", () => server.peers.length == 4 && db.status == "online");
  await db.bucket("b").count();
  assert.deepEqual([tooLong, long.status], [2, "error"]);
  await db.close();
  await server.end();
});

test("a Live that nobody listens to says live only as long as it is subscribed", async (t) => {
  const server = await serve({ buckets });
  t.after(() => server.end());
  const line = spy();
  const [db, other] = [connect(server.url, { WebSocket: line.Spy, ...fast, keepMs: 1 }), connect(server.url, { WebSocket, ...fast })];
  const live = db.bucket("b").live({});
  assert.deepEqual(await live.loaded(), []);
  await until("forgotten", () => line.of("store.unsubscribe").length == 1);
  assert.equal(live.status, "stale");
  await other.bucket("b").insert({ id: "1" });
  assert.equal((await live.loaded()).length, 1);
  await until("forgotten", () => line.of("store.unsubscribe").length == 2);
  // Two objects of one question, because the first had been forgotten: both are served.
  const twin = db.bucket("b").live({});
  assert.notEqual(twin, live);
  for (const one of [twin, live]) one.subscribe(() => {});
  await Promise.all([twin.loaded(), live.loaded()]);
  line.cut();
  await until("away", () => db.status != "online");
  await other.bucket("b").insert({ id: "2" });
  await until("both are back", () => [twin, live].every((one) => one.status == "live" && one.data.length == 2));
  await db.close();
  assert.deepEqual([twin.status, live.status], ["stale", "stale"]);
  await other.close();
});

test("a short break shows in a Live that nobody listens to: it is not asked for again", async (t) => {
  const server = await serve({ buckets });
  t.after(() => server.end());
  const line = spy();
  const db = connect(server.url, { WebSocket: line.Spy, ...fast });
  const live = db.bucket("b").live({});
  await live.loaded();
  line.cut();
  await until("away", () => db.status != "online");
  await until("back", () => db.status == "online");
  assert.equal(live.status, "stale");
  await db.bucket("b").insert({ id: "1" });
  assert.equal((await live.loaded()).length, 1);
  await db.close();
});

test("reached: nobody is there without an answer, before the first one and in another epoch", async () => {
  const held = [];
  const server = await serving((message, peer, n) => {
    if (message.type == "session.open") return peer.answer(message, { ...opened, epoch: `e${n}` }), true;
    if (/^store\.(live|subscribeMany)$/.test(message.type)) {
      const one = rows(["a"]);
      held.push((commit) => peer.answer(message, message.subscriptions ? { results: message.subscriptions.map(() => one) } : one, { commit }));
      return true;
    }
    return false;
  });
  const db = connect(server.url, { WebSocket, ...fast });
  const live = db.bucket("b").live({});
  const early = settled(live.reached(60));
  await until("asked", () => held.length == 1);
  await db.bucket("b").count();
  assert.equal(early.is, "pending");
  held[0](5);
  await until("answered", () => live.commit == 5);
  await db.bucket("b").count();
  assert.equal(early.is, "pending");
  server.peers[0].close(1012);
  await until("asked again", () => held.length == 2 && db.status == "online");
  const late = settled(live.reached(3));
  await db.bucket("b").count();
  assert.deepEqual([early.is, late.is], ["pending", "pending"]);
  // What was waited for is of another epoch: an answer in this one is beyond it.
  held[1](4);
  await until("answered", () => early.is == "done" && late.is == "done");
  await db.close();
  await server.end();
});

test("reached on a server without numbers waits for its answer to the Live, over a break too", async () => {
  let answer;
  const server = await script((message, peer, n) => {
    if (message.type == "store.live") answer = () => peer.answer(message, rows(["a"]));
    else if (message.type == "ping" && n == 1) peer.close(1012);
    else peer.fail(message, "UNKNOWN_OPERATION");
  });
  const db = connect(server.url, { WebSocket, ...fast });
  const live = db.bucket("b").live({});
  const one = settled(live.reached(1));
  await until("another connection", () => server.peers.length == 2 && db.status == "online" && answer);
  await until("asked", () => server.peers[1].heard.some((message) => message.type == "ping"));
  assert.equal(one.is, "pending");
  answer();
  await until("there", () => one.is == "done");
  assert.deepEqual(ids(live), ["a"]);
  await db.close();
  await server.end();
});

test("loaded asks again after an error", async (t) => {
  const server = await serve({});
  t.after(() => server.end());
  const db = connect(server.url, { WebSocket, ...fast });
  const live = db.live("q");
  await assert.rejects(live.loaded(), { code: "QUERY_NOT_DEFINED" });
  await db.store.defineBucket({ name: "b", config: buckets.b });
  await db.store.defineQuery({ name: "q", config: { bucket: "b" } });
  assert.deepEqual(await live.loaded(), []);
  await db.close();
});

test("who closes in a handler of the status is closed", async () => {
  for (const at of ["waiting", "connecting", "online"]) {
    const server = await serving(() => false);
    const db = connect(server.url, { WebSocket, ...fast, lazy: true });
    if (at == "waiting") await db.bucket("b").count();
    const seen = [];
    db.on("status", (status) => {
      seen.push(status);
      if (status == at) db.close();
    });
    if (at == "waiting") server.peers[0].close(1012);
    else db.bucket("b").count().catch(() => {});
    await until("closed", () => seen.includes("closed"));
    const { length } = server.peers;
    await assert.rejects(db.bucket("b").count(), { code: "CLOSED" });
    await assert.rejects(db.ready.then(() => db.login({ token: "x" })), { code: "CLOSED" });
    await assert.rejects(db.watch("server.trace", {}, () => {}), { code: "CLOSED" });
    assert.deepEqual([db.status, seen.at(-1), server.peers.length], ["closed", "closed", length]);
    await server.end();
  }
});

test("what waits for an answer when the client is closed is told so, and each change once", async () => {
  const server = await serving((message) => /login|trace|insert/.test(message.type));
  const db = connect(server.url, { WebSocket, ...fast });
  const told = [];
  db.on("write", ({ n, error }) => told.push([n, error?.code]));
  await db.ready;
  const inserts = [{ once: false }, {}, { timeoutMs: 1 }].map((o, n) => db.bucket("b").insert({ n }, o));
  await assert.rejects(inserts[2], { code: "UNKNOWN_OUTCOME" });
  const all = [db.watch("server.trace", {}, () => {}), ...inserts, db.login({ token: "x" })];
  const ended = Promise.allSettled(all);
  await until("sent", () => server.peers[0].heard.some((message) => message.type == "auth.login"));
  await db.close();
  assert.deepEqual((await ended).map((one) => one.reason.code), ["CLOSED", ...Array(3).fill("UNKNOWN_OUTCOME"), "CLOSED"]);
  assert.deepEqual(told, [1, 2, 3].map((n) => [n, "UNKNOWN_OUTCOME"]));
  await server.end();
});

test("a Live that is not answered becomes stale, though the client is online", async () => {
  const server = await serving((message, peer, n) => {
    if (message.type != "store.live") return false;
    if (n == 1) peer.answer(message, rows(["a"]));
    return true;
  });
  const db = connect(server.url, { WebSocket, ...fast, staleAfterMs: 200 });
  const live = db.bucket("b").live({});
  live.subscribe(() => {});
  await live.loaded();
  server.peers[0].close(1012);
  await until("back", () => server.peers.length == 2 && db.status == "online");
  assert.equal(live.status, "live");
  await until("stale", () => live.status == "stale");
  await db.close();
  await server.end();
});

test("functions of the application that throw are reported, and the change goes on", async (t) => {
  const errors = reported(t);
  const server = await serve({ buckets });
  t.after(() => server.end());
  const db = connect(server.url, { WebSocket, ...fast });
  const fail = (what) => () => { throw new Error(what); };
  const live = db.bucket("b").live({}, { accepts: fail("accepts") });
  live.subscribe(() => {});
  await live.loaded();
  await db.bucket("b").insert({ id: "1" }, { optimistic: true });
  await db.bucket("b").insert({ id: "2" }, { optimistic: fail("optimistic") });
  await db.bucket("b").insert({ id: "3" }, { optimistic: (patch) => patch(live, fail("patch")), onCommit: fail("onCommit") });
  await until("there", () => live.data.length == 3);
  assert.deepEqual(errors, ["accepts", "optimistic", "patch", "onCommit"]);
  assert.deepEqual(db.pending(), []);
  await db.close();
});

test("subscribe, unsubscribe, subscribe asks once", async (t) => {
  const server = await serve({ buckets });
  t.after(() => server.end());
  const line = spy();
  const db = connect(server.url, { WebSocket: line.Spy, ...fast });
  await db.ready;
  const live = db.bucket("b").live({});
  live.subscribe(() => {})();
  live.subscribe(() => {});
  await live.loaded();
  await db.bucket("b").insert({ id: "1" });
  await until("pushed", () => live.data.length == 1);
  assert.deepEqual([line.of("store.live").length, line.of("store.unsubscribe").length], [1, 0]);
  await db.close();
});

test("without WebSocket a client stays idle, and says so to who waits", async () => {
  const { WebSocket: old } = globalThis;
  delete globalThis.WebSocket;
  try {
    const db = connect("ws://127.0.0.1:9/");
    const live = db.bucket("b").live({});
    const end = live.subscribe(() => {});
    db.events("a", () => {})();
    assert.deepEqual([db.status, live.status], ["idle", "loading"]);
    for (const one of [live.loaded(), db.watch("server.trace", {}, () => {}), db.bucket("b").count(), db.login({ token: "x" })]) {
      await assert.rejects(one, { code: "NO_WEBSOCKET" });
    }
    end();
    await db.close();
  } finally {
    if (old) globalThis.WebSocket = old;
  }
});

test("a page that rests wakes for a login and for what is watched", async (t) => {
  const heard = {};
  globalThis.document = { visibilityState: "visible", addEventListener: (type, fn) => { heard[type] = fn; } };
  t.after(() => { delete globalThis.document; });
  const server = await serving((message, peer) => message.type == "auth.login" && (peer.answer(message, { userId: message.token, roles: [] }), true));
  const db = connect(server.url, { WebSocket, ...fast, hiddenMs: 1 });
  await db.ready;
  for (const wanted of [() => db.login({ token: "ada" }), () => db.watch("server.trace", {}, () => {})]) {
    document.visibilityState = "hidden";
    heard.visibilitychange({ type: "visibilitychange" });
    await until("resting", () => db.status == "idle");
    document.visibilityState = "visible";
    await wanted();
    assert.equal(db.status, "online");
  }
  await db.close();
  await server.end();
});

test("a hydrated Live that is made again does not show the page's first state", async (t) => {
  const server = await serve({ buckets });
  t.after(() => server.end());
  const one = connect(server.url, { WebSocket, ...fast });
  await one.bucket("b").insert({ id: "old" });
  await one.bucket("b").live({}).loaded();
  const hydrate = JSON.parse(JSON.stringify(one.snapshot()));
  const line = spy();
  const db = connect(server.url, { WebSocket: line.Spy, ...fast, keepMs: 1, hydrate });
  const live = db.bucket("b").live({});
  assert.deepEqual(ids(live), ["old"]);
  await live.loaded();
  await until("forgotten", () => line.of("store.unsubscribe").length == 1);
  const again = db.bucket("b").live({});
  assert.deepEqual([again.status, again.data, Object.keys(hydrate).length], ["loading", undefined, 1]);
  await Promise.all([db.close(), one.close()]);
});
