// What a server may do to a connection, by a server that does it.
import assert from "node:assert/strict";
import { createServer } from "node:net";
import { test } from "node:test";
import { connect, fast, script, until, WebSocket } from "./rig.mjs";

const none = { epoch: "e1", commit: 0, session: "new", replaced: false, newest: 0, features: [] };
/** A server without `session.*`, as all are that know nothing of it. */
const plain = (more = () => {}) => (message, peer, n) => {
  if (message.type == "session.open") return peer.fail(message, "UNKNOWN_OPERATION");
  return more(message, peer, n);
};

async function retried(code, reason, { times = 1, options } = {}) {
  const server = await script(plain());
  const db = connect(server.url, { WebSocket, ...fast, ...options });
  await db.ready;
  for (let i = 0; i < times; i++) {
    server.peers[i].close(code, reason);
    await until(`attempt after ${code}`, () => server.peers.length == i + 2);
    await until("online", () => db.status == "online");
  }
  await db.close();
  await server.end();
}

test("codes after which it comes back", async () => {
  for (const code of [1000, 1001, 1012, 4001]) await retried(code, "server_shutdown");
  await retried(1002, "", { times: 3 });
});

test("codes that are final", async () => {
  for (const [code, times, reason] of [[4002, 1, "revoked"], [1003, 4, "protocol"]]) {
    const server = await script(plain());
    const db = connect(server.url, { WebSocket, ...fast, auth: undefined });
    await db.ready;
    for (let i = 0; i < times; i++) {
      await until("there", () => server.peers.length == i + 1 && db.status == "online");
      if (code == 4002) server.peers[i].send({ type: "system", event: "session_revoked", reason });
      server.peers[i].close(code, "x");
      await until("gone", () => db.status != "online");
    }
    await until("closed", () => db.status == "closed");
    assert.equal(db.reason, reason);
    await assert.rejects(db.bucket("b").all(), { code: "CLOSED" });
    await server.end();
  }
});

test("1009: the first unanswered request is the culprit, the others go on", async () => {
  const server = await script(plain((message, peer, n) => {
    if (message.type == "store.get" && message.key == "long") return peer.close(1009);
    if (n > 1) peer.answer(message, message.key);
  }));
  const db = connect(server.url, { WebSocket, ...fast });
  await db.ready;
  const [long, other] = [db.bucket("b").get("long"), db.bucket("b").get("short")];
  await assert.rejects(long, { code: "TOO_LARGE" });
  assert.equal(await other, "short");
  await db.close();
  await server.end();
});

test("1011: twice the same request is not sent a third time", async () => {
  let sent = 0;
  const server = await script(plain((message, peer) => {
    if (message.key == "poison") return sent++, peer.close(1011, "internal_error");
    peer.answer(message, 1);
  }));
  const db = connect(server.url, { WebSocket, ...fast });
  await db.ready;
  await assert.rejects(db.bucket("b").get("poison"), { code: "INTERNAL_ERROR" });
  assert.equal(sent, 2);
  assert.equal(await db.bucket("b").count(), 1);
  await db.close();
  await server.end();
});

test("silence drops the socket", async () => {
  const server = await script((message, peer) => message.type == "session.open" && peer.answer(message, { ...none, heartbeatMs: -2400 }));
  const db = connect(server.url, { WebSocket, ...fast });
  await until("a second connection", () => server.peers.length >= 2);
  await db.close();
  await server.end();
});

test("a server that accepts and says nothing", async () => {
  let attempts = 0;
  const mute = createServer(() => attempts++);
  await new Promise((resolve) => mute.listen(0, "127.0.0.1", resolve));
  const db = connect(`ws://127.0.0.1:${mute.address().port}/`, { WebSocket, ...fast, connectTimeoutMs: 20 });
  await until("several attempts", () => attempts > 2);
  assert.notEqual(db.status, "online");
  const ready = assert.rejects(db.ready, { code: "CLOSED" });
  await db.close();
  await ready;
  mute.close();
});

test("without once: what was under way at a break has an unknown outcome, what was not sent goes on", async () => {
  let writes = 0;
  const server = await script(plain((message, peer) => {
    if (message.type != "store.insert") return;
    writes++;
    if (message.data.n == 32) return peer.answer(message, "late");
    if (message.data.n == 31) peer.close(1012);
  }));
  const db = connect(server.url, { WebSocket, ...fast });
  await db.ready;
  const results = await Promise.allSettled(Array.from({ length: 33 }, (_, n) => db.bucket("b").insert({ n })));
  assert.deepEqual(results.slice(0, 32).map((one) => one.reason?.code), Array(32).fill("UNKNOWN_OUTCOME"));
  assert.equal(results[32].value, "late");
  assert.equal(writes, 33);
  await db.close();
  await server.end();
});

test("with once: the same number after a break, a new session after NOT_FOUND and 4004", async () => {
  const opens = [];
  let mode = "known";
  const inserts = [];
  const server = await script((message, peer) => {
    if (message.type == "session.open") {
      opens.push(message);
      if (message.resume && mode == "forgotten") return peer.fail(message, "NOT_FOUND", "Session not found");
      return peer.answer(message, { ...none, features: ["once"] });
    }
    if (message.type == "session.sync") return peer.answer(message, { commit: 1, complete: true });
    inserts.push([message.data.n, message.once]);
    if (mode == "answer") peer.answer(message, message.data.n, { commit: 1 });
  });
  const db = connect(server.url, { WebSocket, ...fast });
  await db.ready;
  const first = db.bucket("b").insert({ n: 1 });
  await until("sent", () => inserts.length == 1);
  mode = "answer";
  server.peers[0].close(1012);
  assert.equal(await first, 1);
  assert.deepEqual(inserts, [[1, 1], [1, 1]]);
  assert.ok(opens[1].resume && opens[0].session == opens[1].session && opens[0].session.length >= 22 && !opens[0].resume);

  mode = "silent";
  const second = db.bucket("b").insert({ n: 2 });
  await until("sent", () => inserts.length == 3);
  mode = "forgotten";
  server.peers[1].close(1012);
  await assert.rejects(second, { code: "UNKNOWN_OUTCOME" });
  await until("a new session", () => opens.length == 4);
  assert.notEqual(opens[3].session, opens[0].session);

  mode = "silent";
  await until("online", () => db.status == "online");
  const third = db.bucket("b").insert({ n: 3 });
  await until("sent", () => inserts.length == 4);
  assert.deepEqual(inserts[3], [3, 1]);
  server.peers[2].close(4004, "session_replaced");
  await assert.rejects(third, { code: "UNKNOWN_OUTCOME" });
  await until("another session", () => opens.length == 5);
  assert.notEqual(opens[4].session, opens[3].session);
  await db.close();
  await server.end();
});

test("resume: what changed is all that comes, rows keep their identity, the ping moves the position", async () => {
  const asked = [];
  const server = await script((message, peer, n) => {
    if (message.type == "session.open") return peer.answer(message, { ...none, features: ["many", "resume", "once"] });
    const list = message.type == "store.subscribeMany" ? message.subscriptions : [message];
    if (message.type != "store.subscribe" && message.type != "store.subscribeMany") return peer.answer(message, {});
    asked.push(message);
    const answers = list.map((one) => one.resume.token
      ? { subscriptionId: `s${n}`, mode: "delta", shape: "rows", seq: 0, positions: true, key: "id", resumed: true,
        removed: [1], changed: [{ key: 4, at: 0, row: { id: 4 } }], resume: { token: "t2", commit: 9 } }
      : { subscriptionId: `s${n}`, mode: "delta", shape: "rows", seq: 0, positions: true, key: "id", keys: [1, 2, 3],
        data: [{ id: 1 }, { id: 2 }, { id: 3 }], resumed: false, resume: { token: "t1", commit: 5 } });
    peer.answer(message, message.type == "store.subscribe" ? answers[0] : { results: answers }, { commit: 5 });
  });
  const db = connect(server.url, { WebSocket, ...fast });
  const live = db.live("q", {});
  live.subscribe(() => {});
  await live.loaded();
  const before = live.data;
  assert.deepEqual(asked[0].resume, {});
  server.peers[0].send({ type: "ping", timestamp: 1, commit: 7 });
  await until("the bookmark", () => live.commit == 7);
  server.peers[0].close(1012);
  await until("resumed", () => live.data.length == 3 && live.data[0].id == 4);
  assert.deepEqual(asked[1].subscriptions[0].resume, { token: "t1", commit: 7 });
  assert.deepEqual(live.data.map((row) => row.id), [4, 2, 3]);
  assert.equal(live.data[1], before[1]);
  await db.close();
  await server.end();
});

test("a window that was moved is what comes back; a server without windows is told apart", async () => {
  const asked = [];
  let features = ["resume", "window"];
  const of = (window, more) => ({ subscriptionId: "s", ...window, total: 9, resume: { token: `t${window?.window?.offset}`, commit: 5 }, ...more });
  const server = await script((message, peer) => {
    if (message.type == "session.open") return peer.answer(message, { ...none, features });
    asked.push(message);
    const { offset, limit, window } = message;
    if (message.type == "store.moveWindow") return peer.answer(message, of({ window: { offset, limit } }, { seq: 1, reset: true, keys: [offset], data: [{ id: offset }] }));
    if (message.type != "store.subscribe") return peer.answer(message, {});
    peer.answer(message, of(features.length && { window }, { mode: "delta", shape: "rows", seq: 0, positions: true, key: "id", keys: [0], data: [{ id: 0 }] }), { commit: 5 });
  });
  const db = connect(server.url, { WebSocket, ...fast });
  const live = db.live("q", {});
  live.subscribe(() => {});
  await live.move({ limit: 1 });
  await live.move({ offset: 4 });
  assert.deepEqual([live.data, live.window], [[{ id: 4 }], { offset: 4, limit: 1 }]);
  server.peers[0].close(1012);
  await until("back", () => asked.at(-1).type == "store.subscribe" && live.status == "live");
  assert.deepEqual([asked.at(-1).window, asked.at(-1).resume], [{ offset: 4, limit: 1 }, { token: "t4", commit: 5 }]);
  features = [];
  server.peers[1].close(1012);
  await until("back at another server", () => live.window === undefined);
  await assert.rejects(live.move({ offset: 1 }), { code: "UNSUPPORTED" });
  await db.close();
  await server.end();
});

test("a gap is answered by resync, a reset keeps rows, an old number is ignored", async () => {
  let resyncs = 0;
  const server = await script(plain((message, peer) => {
    if (message.type == "store.live") {
      peer.answer(message, { subscriptionId: "s", mode: "delta", shape: "rows", seq: 0, positions: true, key: "id", keys: ["a"], data: [{ id: "a", x: { y: 1 } }] });
      const push = (data) => peer.send({ type: "push", channel: "subscription", subscriptionId: "s", data });
      push({ seq: 1, added: [{ key: "b", at: 1, row: { id: "b" } }] });
      push({ seq: 1, added: [{ key: "b", at: 1, row: { id: "b" } }] });
      push({ seq: 3, removed: ["a"] });
      push({ seq: 4, removed: ["b"] });
    } else if (message.type == "store.resync") {
      resyncs++;
      peer.answer(message, { subscriptionId: "s", seq: 4, keys: ["a", "c"], data: [{ id: "a", x: { y: 1 } }, { id: "c" }] });
    }
  }));
  const db = connect(server.url, { WebSocket, ...fast });
  const live = db.bucket("b").live();
  let first;
  live.subscribe(({ data }) => { first ??= data; });
  await until("resynced", () => live.status == "live" && live.data.length == 2 && live.data[1].id == "c");
  assert.equal(resyncs, 1);
  assert.equal(live.data[0], first[0]);
  await db.close();
  await server.end();
});

test("a refused subscription is asked for again", async () => {
  let asked = 0;
  const server = await script(plain((message, peer) => {
    if (message.type != "store.live") return;
    if (++asked < 3) return peer.fail(message, "RATE_LIMITED", "Rate limit exceeded. Retry after 20ms", { retryAfterMs: 20 });
    peer.answer(message, { subscriptionId: "s", mode: "delta", shape: "value", seq: 0, data: 5 });
  }));
  const db = connect(server.url, { WebSocket, ...fast });
  const live = db.bucket("b").live({ aggregate: { function: "count" } });
  live.subscribe(() => {});
  await until("served", () => live.data == 5);
  assert.equal(asked, 3);
  await db.close();
  await server.end();
});

test("optimistic: shown at once, gone with a rejection, no row goes back and forth", async () => {
  const held = [];
  const server = await script(plain((message, peer) => {
    if (message.type == "store.live") peer.answer(message, { subscriptionId: "s", mode: "delta", shape: "rows", seq: 0, positions: true, key: "id", keys: ["a"], data: [{ id: "a", n: 1 }] });
    else held.push([message, peer]);
  }));
  const db = connect(server.url, { WebSocket, ...fast });
  const bucket = db.bucket("b");
  const live = bucket.live({}, { accepts: (row) => row.n < 10, place: "start" });
  const states = [];
  live.subscribe(({ data }) => states.push(JSON.stringify(data)));
  const before = await live.loaded();
  const update = bucket.update("a", { n: 2 }, { optimistic: true });
  assert.deepEqual(live.data, [{ id: "a", n: 2 }]);
  const insert = bucket.insert({ n: 5 }, { optimistic: true });
  assert.deepEqual(live.data, [{ n: 5 }, { id: "a", n: 2 }]);
  await until("both sent", () => held.length == 2);
  const [[first, peer], [second]] = held;
  peer.answer(first, { id: "a", n: 2 });
  peer.send({ type: "push", channel: "subscription", subscriptionId: "s", data: { seq: 1, changed: [{ key: "a", row: { id: "a", n: 2 } }] } });
  peer.fail(second, "VALIDATION_ERROR", "no");
  await update;
  await assert.rejects(insert, { code: "VALIDATION_ERROR" });
  assert.deepEqual(live.data, [{ id: "a", n: 2 }]);
  assert.notEqual(live.data, before);
  await until("told", () => states.at(-1) == '[{"id":"a","n":2}]');
  assert.ok(!states.slice(1).includes('[{"id":"a","n":1}]'), states.join("\n"));
  await db.close();
  await server.end();
});

test("what is unsent can be taken back, what is sent cannot", async () => {
  const server = await script(plain());
  const db = connect(server.url, { WebSocket, ...fast });
  await db.ready;
  const stop = new AbortController();
  const sent = db.bucket("b").insert({ n: 1 }, { signal: stop.signal });
  await until("sent", () => db.pending()[0]?.sent);
  const waiting = Array.from({ length: 32 }, () => db.bucket("b").insert({ n: 2 }, { timeoutMs: 40 }));
  stop.abort();
  await assert.rejects(sent, { code: "UNKNOWN_OUTCOME" });
  const codes = (await Promise.allSettled(waiting)).map((one) => one.reason.code);
  assert.deepEqual(codes, [...Array(31).fill("UNKNOWN_OUTCOME"), "TIMEOUT"]);
  await db.close();
  await server.end();
});

test("stale is who waits for an answer when the time has passed, each time anew", async () => {
  const opens = [];
  const server = await script((message, peer, n) => {
    if (message.type == "session.open") return n == 2 ? opens.push([peer, message]) : n == 1 && peer.answer(message, none);
    if (message.type == "store.live" && n < 3) {
      peer.answer(message, { subscriptionId: `sub-${n}`, mode: "delta", shape: "rows", seq: 0, key: "id", keys: [], data: [] });
    }
  });
  const db = connect(server.url, { WebSocket, ...fast, staleAfterMs: 40 });
  const live = db.bucket("b").live();
  const statuses = [];
  live.subscribe(({ status }) => statuses.push(status));
  await until("live", () => live.status == "live" && db.status == "online");
  // Its Live is answered in front of what makes the client online, and stays live.
  const cut = performance.now();
  server.peers[0].close(1001);
  await until("asked again", () => opens.length == 1);
  await until("the time has passed", () => performance.now() > cut + 80);
  await until("live again", () => live.status == "live");
  opens[0][0].answer(opens[0][1], none);
  await until("online", () => db.status == "online");
  assert.equal(live.status, "live");
  // The next time nobody answers.
  server.peers[1].close(1001);
  await until("stale", () => live.status == "stale");
  await db.close();
  await server.end();
});

test("1011: the subscription that breaks the connection twice is found among many, and not asked for again", async () => {
  let poisoned = 0;
  const rows = (n) => ({ subscriptionId: `s${n}`, mode: "delta", shape: "rows", seq: 0, key: "id", keys: [1], data: [{ id: 1 }] });
  const server = await script((message, peer) => {
    if (message.type == "session.open") return peer.answer(message, { ...none, features: ["many"] });
    const list = message.subscriptions ?? [message];
    if (list.some((one) => one.query == "poison" || one.pattern == "poison.*")) return poisoned++, peer.close(1011, "internal_error");
    if (message.subscriptions) return peer.answer(message, { results: list.map((_, i) => rows(i)) });
    peer.answer(message, message.pattern ? { subscriptionId: "e" } : rows(message.id));
  });
  const db = connect(server.url, { WebSocket, ...fast });
  const errors = [];
  db.on("error", ({ code, operation }) => errors.push([code, operation]));
  const [bad, ...good] = ["poison", "a", "b"].map((query) => db.live(query));
  for (const live of [bad, ...good]) live.subscribe(() => {});
  await until("found", () => bad.error?.code == "INTERNAL_ERROR" && db.status == "online");
  await until("the others", () => good.every((live) => live.status == "live"));
  assert.deepEqual([poisoned, server.peers.length], [2, 3]);
  // A break does not bring it back; a person does.
  server.peers[2].close(1012);
  await until("back", () => db.status == "online" && good.every((live) => live.status == "live"));
  await db.bucket("b").count();
  assert.equal(poisoned, 2);
  bad.retry();
  await until("asked again, and again refused", () => poisoned == 4 && db.status == "online");
  db.events("poison.*", () => {});
  await until("an event", () => errors.length == 1 && db.status == "online");
  await db.bucket("b").count();
  assert.deepEqual([poisoned, errors], [6, [["INTERNAL_ERROR", "rules.subscribe"]]]);
  await db.close();
  await server.end();
});

test("the first burst asks for many at once, before the server has said what it has", async () => {
  for (const hasMany of [true, false]) {
    const heard = [];
    let open;
    const server = await script((message, peer) => {
      heard.push(message.type);
      const rows = { subscriptionId: `s${message.id}`, mode: "delta", shape: "rows", seq: 0, key: "id", keys: [1], data: [{ id: 1 }] };
      if (message.type == "session.open") open = () => peer.answer(message, { ...none, features: ["many"] });
      else if (message.type != "store.subscribeMany") peer.answer(message, rows);
      else if (hasMany) peer.answer(message, { results: message.subscriptions.map((_, i) => ({ ...rows, subscriptionId: `m${i}` })) });
      else peer.fail(message, "UNKNOWN_OPERATION");
    });
    const db = connect(server.url, { WebSocket, ...fast });
    const lives = ["a", "b"].map((query) => db.live(query));
    await Promise.all(lives.map((live) => live.loaded()));
    assert.deepEqual(heard, ["session.open", "store.subscribeMany", ...(hasMany ? [] : ["store.subscribe", "store.subscribe"])]);
    open();
    await db.ready;
    await db.close();
    await server.end();
  }
});

test("events that are refused are told of, and asked for again; so are those that end with a login", async () => {
  const asked = [];
  const server = await script((message, peer) => {
    if (message.type == "session.open") return peer.answer(message, none);
    if (message.type == "auth.login") return peer.answer(message, { userId: message.token, roles: [] });
    if (message.type == "auth.logout") {
      peer.answer(message, {});
      return peer.send({ type: "system", event: "subscription_cancelled", subscriptionId: "e", reason: "Authentication required" });
    }
    asked.push(message.type);
    if (asked.length == 1) return peer.fail(message, "RATE_LIMITED", "Rate limit exceeded", { retryAfterMs: 20 });
    peer.answer(message, { subscriptionId: "e" });
  });
  const db = connect(server.url, { WebSocket, ...fast, auth: { token: "ada" } });
  const errors = [], heard = [];
  db.on("error", (error) => errors.push(error.code));
  db.events("a.*", (event) => heard.push(event), (lost) => heard.push(lost));
  const event = (data) => server.peers[0].send({ type: "push", channel: "event", subscriptionId: "e", data: { event: data, topic: "a.b" } });
  await until("asked again", () => asked.length == 2);
  event(1);
  await until("heard", () => heard.length == 1);
  await db.logout();
  await until("ended", () => errors.length == 2);
  await db.login({ token: "ada" });
  await until("once more", () => asked.length == 3);
  await until("told that something is missing", () => heard.length == 2);
  event(2);
  await until("heard", () => heard.length == 3);
  assert.deepEqual([errors, heard], [["RATE_LIMITED", "subscription_cancelled"], [1, null, 2]]);
  await db.close();
  await server.end();
});
