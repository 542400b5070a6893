// Live queries and changes over breaks, by a server that breaks where it hurts.
import assert from "node:assert/strict";
import { test } from "node:test";
import { connect, fast, script, until, WebSocket } from "./rig.mjs";

const opened = { epoch: "e1", commit: 0, session: "new", replaced: false, newest: 0 };
const rows = (keys, more) => ({ subscriptionId: "s", mode: "delta", shape: "rows", seq: 0, positions: true, key: "id", keys, data: keys.map((id) => ({ id })), ...more });
const ids = (live) => live.data.map((row) => row.id);
const push = (peer, data, more) => peer.send({ type: "push", channel: "subscription", subscriptionId: "s", data, ...more });

/** A server whose `session.open` is answered with `features`, everything else by `on`. */
const serving = (features, on) => script((message, peer, n) => {
  if (message.type == "session.open") return peer.answer(message, { ...opened, features });
  if (message.type == "session.sync") return peer.answer(message, { commit: 0, complete: false });
  if (message.type == "store.subscribeMany" && !features.includes("many")) return peer.fail(message, "UNKNOWN_OPERATION");
  return on(message, peer, n);
});

test("a question that a break leaves unanswered is no error: it is asked again", async () => {
  for (const features of [[], ["many"]]) {
    const server = await serving(features, (message, peer, n) => {
      if (n == 1) return peer.close(1012);
      if (message.type == "store.live") peer.answer(message, rows([1]));
      if (message.type == "store.subscribeMany") peer.answer(message, { results: message.subscriptions.map(() => rows([1])) });
    });
    const db = connect(server.url, { WebSocket, ...fast });
    const statuses = [];
    const live = db.bucket("b").live();
    live.subscribe(({ status }) => statuses.push(status));
    assert.deepEqual(await live.loaded(), [{ id: 1 }]);
    await until("told", () => statuses.at(-1) == "live");
    assert.ok(!statuses.includes("error"), `${statuses}`);
    await db.close();
    await server.end();
  }
});

test("who stops listening before the answer has no subscription", async () => {
  const gone = [];
  let held;
  const server = await serving([], (message, peer) => {
    if (message.type == "store.live" || message.type == "rules.subscribe") held = () => peer.answer(message, rows([1]));
    if (/unsubscribe/.test(message.type)) gone.push([message.type, message.subscriptionId]);
  });
  const db = connect(server.url, { WebSocket, ...fast, keepMs: 1 });
  await db.ready;
  db.bucket("b").live().subscribe(() => {})();
  await until("asked", () => held);
  await until("forgotten", () => !Object.keys(db.snapshot()).length);
  held();
  await until("unsubscribed", () => gone.length == 1);
  held = undefined;
  db.events("a.*", () => {})();
  await until("asked", () => held);
  held();
  await until("unsubscribed", () => gone.length == 2);
  assert.deepEqual(gone, [["store.unsubscribe", "s"], ["rules.unsubscribe", "s"]]);
  await db.close();
  await server.end();
});

test("close rejects what waits: a read under way, a change that was sent, one that was not, a Live", async () => {
  const heard = [];
  const server = await serving([], (message) => heard.push(message.type));
  const db = connect(server.url, { WebSocket, ...fast });
  await db.ready;
  const bucket = db.bucket("b");
  const all = [bucket.get(1), ...Array.from({ length: 33 }, (_, n) => bucket.insert({ n })), bucket.live().loaded()];
  const ended = Promise.allSettled(all);
  await until("sent", () => heard.length == 34);
  await db.close();
  assert.deepEqual((await ended).map((one) => one.reason.code), ["CLOSED", ...Array(32).fill("UNKNOWN_OUTCOME"), "CLOSED", "CLOSED"]);
  assert.equal(db.status, "closed");
  await server.end();
});

test("iterators of Lives that never had data end with the client", async () => {
  const server = await serving([], () => {});
  const db = connect(server.url, { WebSocket, ...fast });
  const seen = [];
  const all = (async () => { for await (const one of db.bucket("b").live()) seen.push(one); })();
  await db.ready;
  await db.close();
  await all;
  assert.deepEqual(seen, []);
  await server.end();
});

test("optimistic: where rows come and go, in order, and who leaves", async () => {
  const held = [];
  const server = await serving([], (message, peer) => {
    if (message.type == "store.live") return peer.answer(message, rows([2, 5]));
    if (message.type != "store.unsubscribe") held.push([message, peer]);
  });
  const db = connect(server.url, { WebSocket, ...fast });
  const bucket = db.bucket("b");
  const sorted = bucket.live({}, { accepts: (row) => !row.isGone, place: (a, b) => a.id - b.id });
  const plain = bucket.live({ limit: 9 });
  const other = db.bucket("c").live();
  const ends = [sorted, plain, other].map((live) => live.subscribe(() => {}));
  await Promise.all([sorted, plain, other].map((live) => live.loaded()));
  const writes = [bucket.insert({ id: 3 }, { optimistic: true }), bucket.insert({ id: 9 }, { optimistic: true }), bucket.update(5, { isGone: true }, { optimistic: true }), bucket.delete(2, { optimistic: true })];
  assert.deepEqual([sorted, plain, other].map(ids), [[3, 9], [5], [2, 5]]);
  assert.equal(plain.data[0].isGone, true);
  writes.push(bucket.upsert({ id: 7 }, { optimistic: (patch) => patch(other, (list) => [...list, { id: 7 }]) }));
  assert.deepEqual(ids(other), [2, 5, 7]);
  await until("sent", () => held.length == 5);
  for (const [message, peer] of held) peer.fail(message, "FORBIDDEN");
  assert.deepEqual((await Promise.allSettled(writes)).map((one) => one.reason.code), Array(5).fill("FORBIDDEN"));
  assert.deepEqual([sorted, plain, other].map(ids), [[2, 5], [2, 5], [2, 5]]);
  ends.forEach((end) => end());
  await db.close();
  await server.end();
});

test("a layer lies until its Live is at the commit; without numbers until the next push, or half a second", async () => {
  let commit = 3;
  const syncs = [];
  const server = await script((message, peer) => {
    if (message.type == "session.open") return commit ? peer.answer(message, { ...opened, features: [] }) : peer.fail(message, "UNKNOWN_OPERATION");
    if (message.type == "session.sync") return syncs.push(message), peer.answer(message, { commit: 3, complete: syncs.length > 1 });
    if (message.type == "store.live") return peer.answer(message, rows([1]), commit ? { commit: 1 } : {});
    if (message.type == "store.update") peer.answer(message, {}, commit ? { commit } : {});
  });
  const live = (db) => {
    const one = db.bucket("b").live();
    one.subscribe(() => {});
    return one.loaded().then(() => one);
  };
  const db = connect(server.url, { WebSocket, ...fast });
  const numbered = await live(db);
  await db.bucket("b").update(1, { n: 1 }, { optimistic: true });
  await until("asked how far", () => syncs.length == 1);
  assert.deepEqual(numbered.data, [{ id: 1, n: 1 }]);
  push(server.peers[0], { seq: 1, added: [{ key: 2, at: 1, row: { id: 2 } }] }, { commit: 2 });
  await until("asked again after a push, and beyond the change", () => syncs.length == 2 && !numbered.data[0].n);
  assert.deepEqual(ids(numbered), [1, 2]);
  assert.equal(numbered.commit, 3);
  await db.close();

  commit = undefined;
  const old = connect(server.url, { WebSocket, ...fast });
  const plain = await live(old);
  await old.bucket("b").update(1, { n: 1 }, { optimistic: true });
  assert.equal(plain.data[0].n, 1);
  push(server.peers[1], { seq: 1, changed: [{ key: 1, row: { id: 1, n: 2 } }] });
  await until("the push", () => plain.data[0].n == 2);
  const began = performance.now();
  await old.bucket("b").update(1, { n: 3 }, { optimistic: true });
  assert.equal(plain.data[0].n, 3);
  await until("half a second", () => plain.data[0].n == 2);
  assert.ok(performance.now() - began > 450);
  await old.close();
  await server.end();
});

test("changes of somebody else wait for him; an expired login is renewed", async () => {
  const sent = [];
  let token = "t1", isOver = false;
  const server = await serving([], (message, peer) => {
    if (message.type == "auth.login") return message.token == "gone" ? peer.fail(message, "UNAUTHORIZED", "Invalid token") : peer.answer(message, { userId: message.token, roles: [] });
    if (message.type == "auth.logout") return peer.answer(message, {});
    if (isOver && message.type == "store.get") return (isOver = false), peer.fail(message, "UNAUTHORIZED", "Session expired");
    if (message.type == "store.insert") sent.push([message.data.n]);
    peer.answer(message, message.key ?? 0);
  });
  const db = connect(server.url, { WebSocket, ...fast, auth: { getToken: async () => token } });
  await db.ready;
  assert.equal(db.user.userId, "t1");
  server.peers[0].socket.terminate();
  await until("away", () => db.status != "online");
  token = "gone";
  const first = db.bucket("b").insert({ n: 1 });
  await until("back", () => db.status == "online");
  assert.equal(db.user, null);
  await until("parked", () => db.pending()[0].parked);
  await db.login({ token: "t2" });
  await db.bucket("b").insert({ n: 2 });
  assert.deepEqual(sent, [[2]]);
  await db.login({ token: "t1" });
  await first;
  assert.deepEqual(sent, [[2], [1]]);
  isOver = true;
  await assert.rejects(db.bucket("b").get("k"), { code: "UNAUTHORIZED" });
  await until("renewed", () => db.user?.userId == "t1");
  await db.logout();
  assert.equal(db.user, null);
  await db.close();
  await server.end();
});

test("a group without a leader: what is numbered is sent again, what may have been done is not known", async () => {
  const heard = [];
  const server = await serving(["once"], (message, peer) => {
    heard.push([message.type, message.once]);
    if (heard.length < 3) return peer.fail(message, "UNAVAILABLE", "no leader", { outcome: heard.length > 1 ? "unknown" : "none", retryAfterMs: 1 });
    if (message.data?.n == 2) return peer.fail(message, "UNAVAILABLE", "no answer", { outcome: "unknown" });
    peer.answer(message, "done");
  });
  const db = connect(server.url, { WebSocket, ...fast });
  await db.ready;
  assert.equal(await db.bucket("b").insert({ n: 1 }), "done");
  assert.deepEqual(heard, Array(3).fill(["store.insert", 1]));
  await assert.rejects(db.bucket("b").insert({ n: 2 }, { once: false }), { code: "UNKNOWN_OUTCOME", retryable: false });
  await db.close();
  await server.end();
});

test("a deep-equal row stays the same object over resets, whatever the order of its members; views have no keys", async () => {
  const server = await serving([], (message, peer) => {
    if (message.type == "store.live") {
      peer.answer(message, rows([1, 2], { data: [{ id: 1, a: { x: 1, y: [1] } }, { id: 2 }] }));
      push(peer, { seq: 5, reset: true, keys: [2, 1], data: [{ id: 2 }, { a: { y: [1], x: 1 }, id: 1 }] });
    }
    if (message.type == "logic.subscribeView") {
      peer.answer(message, { subscriptionId: "v", data: [{ n: 1 }, { n: 2 }] });
      peer.send({ type: "push", channel: "logic", subscriptionId: "v", data: [{ n: 1 }, { n: 3 }] });
    }
  });
  const db = connect(server.url, { WebSocket, ...fast });
  const [live, view] = [db.bucket("b").live(), db.view("v")];
  const first = new Map(), changes = [];
  for (const one of [live, view]) one.subscribe(({ data }, change) => (first.has(one) || first.set(one, data), changes.push(change)));
  await until("both", () => live.data?.[0].id == 2 && view.data?.[1].n == 3);
  const old = first.get(live);
  if (old !== live.data) assert.deepEqual([live.data[0] == old[1], live.data[1] == old[0]], [true, true]);
  await until("told", () => changes.length >= 2);
  assert.ok(changes.some((change) => change.reset));
  const before = view.data;
  server.peers[0].send({ type: "push", channel: "logic", subscriptionId: "v", data: [{ n: 1 }, { n: 3 }] });
  server.peers[0].send({ type: "push", channel: "logic", subscriptionId: "v", data: [{ n: 1 }, { n: 3 }, { n: 4 }] });
  await until("one more", () => view.data.length == 3);
  assert.deepEqual([view.data[0] == before[0], view.data[1] == before[1]], [true, true]);
  await db.close();
  await server.end();
});

test("reached: a commit that changes nothing of the Live is asked after, also behind a question that is under way", async () => {
  const syncs = [];
  const server = await script((message, peer) => {
    if (message.type == "session.open") return peer.answer(message, { ...opened, features: [] });
    if (message.type == "session.sync") return syncs.push((commit) => peer.answer(message, { commit, complete: true }));
    // Over a bucket that is not stored no answer has a number.
    peer.answer(message, rows([1], { subscriptionId: message.bucket }), message.bucket == "b" ? { commit: 1 } : {});
  });
  const db = connect(server.url, { WebSocket, ...fast });
  const [live, volatile] = ["b", "c"].map((bucket) => db.bucket(bucket).live());
  for (const one of [live, volatile]) one.subscribe(() => {});
  await Promise.all([live.loaded(), volatile.loaded(), db.ready]);
  await live.reached(1);
  const both = [live.reached(2), live.reached(3), volatile.reached(3)];
  await until("asked", () => syncs.length == 1);
  syncs[0](2);
  await both[0];
  await until("asked again", () => syncs.length == 2);
  syncs[1](3);
  await Promise.all(both);
  assert.deepEqual([live.commit, syncs.length], [3, 2]);
  await db.close();
  await server.end();
});

test("what a server has read goes on where it was: its window, and the keys where they are wanted", async () => {
  const asked = [];
  const server = await serving(["resume", "window"], (message, peer) => {
    asked.push(message);
    if (message.type == "store.live") peer.answer(message, rows([3, 4], { window: message.window, total: 9, resume: { token: "t", commit: 5, keys: true } }), { commit: 5 });
  });
  const first = connect(server.url, { WebSocket, ...fast });
  await first.bucket("b").live().move({ offset: 2, limit: 2 });
  const hydrate = JSON.parse(JSON.stringify(first.snapshot()));
  await first.close();
  const db = connect(server.url, { WebSocket, ...fast, hydrate });
  const live = db.bucket("b").live();
  assert.deepEqual([live.status, live.window, ids(live)], ["stale", { offset: 2, limit: 2 }, [3, 4]]);
  await live.loaded();
  assert.deepEqual([asked.at(-1).window, asked.at(-1).resume], [{ offset: 2, limit: 2 }, { token: "t", commit: 5, keys: [3, 4] }]);
  await db.close();
  await server.end();
});

test("a stored queue that is closed keeps its changes, and reports nothing of them", async () => {
  const kept = new Map();
  const queue = {
    load: async (session) => ({ session, counter: 0, writes: [] }), put: async (w, wasSent) => { kept.set(w.n, wasSent); },
    delete: (n) => kept.delete(n), session() {}, adopt: async () => {}, close() {},
  };
  const server = await serving(["once"], () => {});
  const db = connect(server.url, { WebSocket, ...fast, queue });
  const told = [];
  db.on("write", (write) => told.push(write));
  await db.ready;
  const all = Promise.allSettled(Array.from({ length: 33 }, (_, n) => db.bucket("b").insert({ n })));
  await until("sent", () => db.pending().filter((one) => one.sent).length == 32);
  await db.close();
  assert.deepEqual((await all).map((one) => one.reason.code), [...Array(32).fill("UNKNOWN_OUTCOME"), "CLOSED"]);
  assert.deepEqual([told, kept.size], [[], 33]);
  await server.end();
});
