// Whose changes leave when: logins, logouts and their ends on an open connection.
import assert from "node:assert/strict";
import { test } from "node:test";
import { connect, fast, script, serve, until, WebSocket } from "./rig.mjs";

const { joinPresence } = await import(`../../src/web/${process.env.NOEXD_CLIENT ?? "client"}/presence.js`);
const buckets = {
  b: { key: "id", schema: { id: { type: "string" }, n: { type: "number" } } },
  here: { key: "id", schema: { id: { type: "string" }, name: { type: "string" } }, lifetime: "connection", graceMs: 60000 },
};
const users = (...names) => Object.fromEntries(names.map((userId) => [userId, { userId, roles: ["admin"] }]));
const opened = { epoch: "e1", commit: 0, session: "new", replaced: false, newest: 0, features: ["once", "many"] };

/** A WebSocket that says what it sent, and can be cut. */
function spy() {
  const sent = [], sockets = [];
  class Spy extends WebSocket {
    constructor(...args) { super(...args); sockets.push(this); }
    send(text) { sent.push(JSON.parse(text)); super.send(text); }
  }
  return { Spy, sent, of: (type) => sent.filter((one) => one.type == type), cut: () => sockets.at(-1).close() };
}

/** As with `fast`, and a server that logs in whom the token names, unless `on` says otherwise. */
const serving = (on = () => false) => script((message, peer, n) => {
  if (on(message, peer, n)) return;
  if (message.type == "auth.login") return peer.answer(message, { userId: message.token, roles: [], expiresAt: null });
  if (message.type == "session.open") return peer.answer(message, opened);
  peer.answer(message, message.data ?? {}, { commit: 1 });
});

test("after a logout, and as somebody else, changes are numbered in a session of their own; who comes back goes on in his", async (t) => {
  const server = await serve({ auth: { tokens: users("ada", "bob"), required: false }, buckets });
  t.after(() => server.end());
  const line = spy();
  const db = connect(server.url, { WebSocket: line.Spy, ...fast, auth: { token: "ada" } });
  const insert = (id) => db.bucket("b").insert({ id });
  await insert("1");
  await db.logout();
  await insert("2");
  await db.login({ token: "bob" });
  await insert("3");
  // Nothing waits for the answers: the numbers go to whom they belong to.
  const all = [db.login({ token: "ada" }), insert("4"), db.logout(), insert("5"), db.login({ token: "bob" }), db.login({ token: "ada" }), insert("6")];
  await Promise.all([all[0], all[2], all[4], all[5]]);
  await until("all but what is of somebody else", () => db.pending().every((one) => one.parked));
  await db.login({ token: "bob" });
  await all[1];
  await db.logout();
  await Promise.all(all);
  assert.equal(await db.bucket("b").count(), 6);
  assert.deepEqual(db.pending(), []);
  const opens = line.of("session.open");
  assert.deepEqual(opens.slice(0, 4).map((one) => one.resume), [false, false, false, true]);
  assert.equal(new Set(opens.map((one) => one.session)).size, 1);
  assert.ok(line.of("store.insert").every((one) => one.once > 0));
  // The same user again keeps his session.
  await db.login({ token: "ada" });
  const before = line.of("session.open").length;
  await db.login({ token: "ada" });
  await insert("7");
  assert.equal(line.of("session.open").length, before);
  await db.close();
});

test("a server that wants a login: without one changes wait for it, and have numbers, commits and resume then", async (t) => {
  const secret = "0123456789abcdef";
  const server = await serve({ auth: { builtIn: true, adminSecret: secret }, buckets });
  t.after(() => server.end());
  const line = spy();
  const db = connect(server.url, { WebSocket: line.Spy, ...fast });
  await db.ready;
  let commit;
  const early = db.bucket("b").insert({ id: "1" }, { onCommit: (number) => { commit = number; } });
  assert.equal(db.pending()[0].parked, true);
  const lives = [{}, { filter: { n: 1 } }].map((config) => db.bucket("b").live(config));
  for (const live of lives) live.subscribe(() => {});
  await until("refused", () => lives.every((live) => live.error?.code == "UNAUTHORIZED"));
  await db.login({ secret });
  await early;
  assert.ok(commit > 0);
  assert.equal(line.of("store.insert")[0].once, 1);
  await Promise.all(lives.map((live) => live.loaded()));
  line.cut();
  await until("away", () => db.status != "online");
  await Promise.all([db.bucket("b").insert({ id: "2" }), until("resumed", () => lives[0].data.length == 2 && lives[0].status == "live")]);
  assert.ok(line.of("store.subscribeMany").at(-1).subscriptions.every((one) => one.resume.token));
  await db.close();
});

test("a change made before a login that fails does not run as nobody", async (t) => {
  const server = await serve({ auth: { tokens: users("ada"), required: false }, buckets });
  t.after(() => server.end());
  const db = connect(server.url, { WebSocket, ...fast, auth: { token: "wrong" } });
  const errors = [];
  db.on("error", (error) => errors.push(error.code));
  const write = db.bucket("b").insert({ id: "1" });
  await db.ready;
  const late = db.bucket("b").insert({ id: "2" });
  assert.deepEqual(db.pending().map((one) => [one.sent, one.parked]), [[false, true], [false, true]]);
  assert.deepEqual([errors, db.user, await db.bucket("b").count()], [["UNAUTHORIZED"], null, 0]);
  await db.login({ token: "ada" });
  await Promise.all([write, late]);
  // Who logs out is nobody on purpose.
  await db.logout();
  await db.bucket("b").insert({ id: "3" });
  await db.close();
});

test("a login that is refused for a while is tried again, and changes wait for it; so is a renewal", async () => {
  let logins = 0;
  const server = await serving((message, peer) => {
    if (message.type != "auth.login") return false;
    logins++;
    if (logins == 1 || logins == 3) peer.fail(message, "RATE_LIMITED", "Too many logins", { retryAfterMs: 30 });
    else peer.answer(message, { userId: "ada", roles: [], expiresAt: Date.now() + (logins == 2 ? 2000 : 3600000) });
    return true;
  });
  const db = connect(server.url, { WebSocket, ...fast, auth: { getToken: async () => "t" } });
  const write = db.bucket("b").insert({ n: 1 });
  await db.ready;
  assert.deepEqual([db.user, db.pending().length], [null, 1]);
  await write;
  assert.deepEqual([logins, db.user.userId], [2, "ada"]);
  await until("renewed at the second attempt", () => logins == 4 && db.user.expiresAt > Date.now() + 60000);
  await db.close();
  await server.end();
});

test("a login that ends makes Lives stale, and a new one lets them go on", async (t) => {
  const tokens = { ...users("admin"), short: { userId: "ada", roles: ["admin"], expiresAt: Date.now() + 4000 }, long: { userId: "ada", roles: ["admin"] } };
  const server = await serve({ auth: { tokens }, buckets });
  t.after(() => server.end());
  const admin = connect(server.url, { WebSocket, ...fast, auth: { token: "admin" } });
  const line = spy();
  const db = connect(server.url, { WebSocket: line.Spy, ...fast, auth: { token: "short" } });
  const live = db.bucket("b").live({});
  live.subscribe(() => {});
  await live.loaded();
  await until("over", () => live.status == "stale");
  assert.deepEqual([db.user, db.status], [null, "online"]);
  const waits = db.bucket("b").insert({ id: "2" });
  await admin.bucket("b").insert({ id: "1" });
  assert.deepEqual([live.status, live.data], ["stale", []]);
  await db.login({ token: "long" });
  await waits;
  await until("live", () => live.status == "live" && live.data.length == 2);
  // The session stayed with the connection, and there is one subscription.
  assert.equal(line.of("session.open").length, 1);
  assert.equal((await admin.server.stats()).connections.totalStoreSubscriptions, 1);
  await Promise.all([db.close(), admin.close()]);
});

test("a login that ends while the client is away, or in front of a change", async () => {
  let isOver, wasOver, refused = 0;
  const server = await serving((message, peer) => {
    if (message.type == "auth.login" && isOver) return refused++, peer.fail(message, "UNAUTHORIZED", "Token has expired"), true;
    if (message.type == "store.insert" && !wasOver) return (isOver = true), peer.fail(message, "UNAUTHORIZED", "Session expired"), true;
    return false;
  });
  const line = spy();
  const db = connect(server.url, { WebSocket: line.Spy, ...fast, auth: { token: "ada" } });
  await db.ready;
  const write = db.bucket("b").insert({ n: 1 });
  await until("not renewed", () => refused == 1);
  assert.deepEqual(db.pending().map((one) => one.parked), [true]);
  line.cut();
  await until("back", () => server.peers.length == 2 && db.status == "online");
  assert.deepEqual([refused, db.user, db.pending().length], [2, null, 1]);
  isOver = false;
  wasOver = true;
  await db.login({ token: "ada" });
  assert.equal((await write).n, 1);
  assert.deepEqual(line.of("store.insert").map((one) => one.once), [1, 1]);
  assert.deepEqual(line.of("session.open").map((one) => one.resume), [false, undefined, true]);
  await db.close();
  await server.end();
});

test("a logout while a login is under way ends logged out; one that is refused does not leave the connection logged in", async () => {
  const held = [];
  let refuse;
  const server = await serving((message, peer, n) => {
    if (message.type == "auth.login" && n == 2 && !held.length) return held.push(() => peer.answer(message, { userId: "ada", roles: [] })), true;
    if (message.type == "auth.logout" && refuse) return peer.fail(message, "RATE_LIMITED"), true;
    return false;
  });
  const line = spy();
  const db = connect(server.url, { WebSocket: line.Spy, ...fast, auth: { token: "ada" } });
  await db.ready;
  line.cut();
  await until("at the login", () => held.length);
  const out = db.logout();
  held[0]();
  await out;
  await until("online", () => db.status == "online");
  assert.equal(db.user, null);
  await db.bucket("b").insert({ n: 1 });
  await db.login({ token: "bob" });
  refuse = true;
  await db.logout();
  await until("another connection", () => server.peers.length == 3 && db.status == "online");
  assert.deepEqual([db.user, server.peers[2].heard.some((one) => one.type == "auth.login")], [null, false]);
  await db.close();
  await server.end();
});

test("a session that was taken over while a login was under way: a new one, and what waited is done", async () => {
  let isTaken;
  const server = await serving((message, peer) => {
    if (message.type == "auth.login" && message.token == "bob" && !isTaken) return (isTaken = true), peer.close(4004, "session_replaced"), true;
    return false;
  });
  const line = spy();
  const db = connect(server.url, { WebSocket: line.Spy, ...fast, auth: { token: "ada" } });
  await db.ready;
  const login = db.login({ token: "bob" });
  const write = db.bucket("b").insert({ n: 1 });
  await assert.rejects(login, { code: "OFFLINE" });
  assert.equal((await write).n, 1);
  const opens = line.of("session.open");
  assert.notEqual(opens[0].session, opens[1].session);
  assert.deepEqual([opens[1].resume, db.user.userId], [false, "ada"]);
  await db.close();
  await server.end();
});

test("numbers under way are never further apart than the server remembers", async () => {
  let first;
  const order = [];
  const server = await serving((message, peer) => {
    if (message.type != "store.insert") return false;
    order.push(message.once);
    if (message.once > 1 || first) return false;
    first = () => peer.answer(message, "first");
    return true;
  });
  const db = connect(server.url, { WebSocket, ...fast, lazy: true });
  const writes = [db.bucket("b").insert({ n: 1 })];
  const stops = Array.from({ length: 70 }, () => new AbortController());
  const taken = stops.map(({ signal }, n) => db.bucket("b").insert({ n }, { signal }));
  writes.push(db.bucket("b").insert({ n: 72 }));
  for (const stop of stops) stop.abort();
  assert.ok((await Promise.allSettled(taken)).every((one) => one.reason.code == "ABORTED"));
  await until("sent", () => first);
  await db.bucket("b").count();
  assert.deepEqual(order, [1]);
  first();
  await Promise.all(writes);
  assert.deepEqual(order, [1, 72]);
  await db.close();
  await server.end();
});

test("presence: who left during a break is gone after it; who logs in is there again", async (t) => {
  const server = await serve({ auth: { tokens: users("ada", "watch"), required: false }, buckets });
  t.after(() => server.end());
  const watcher = connect(server.url, { WebSocket, ...fast, auth: { token: "watch" } });
  const here = async () => (await watcher.bucket("here").all()).map((one) => `${one.id} ${one.name}`).sort();
  const shows = (wanted) => until(`here: ${wanted}`, async () => (await here()).join() == wanted);
  const line = spy();
  const db = connect(server.url, { WebSocket: line.Spy, ...fast });
  const one = joinPresence(db, { bucket: "here", key: "one", data: { name: "A" } });
  const two = joinPresence(db, { bucket: "here", key: "two", data: { name: "B" } });
  await shows("one A,two B");
  line.cut();
  await until("away", () => db.status != "online");
  await one.leave();
  await shows("two B");
  await db.login({ token: "ada" });
  await shows("two B");
  await two.update({ name: "C" });
  await shows("two C");
  await db.logout();
  await shows("two C");
  await two.leave();
  await shows("");
  await Promise.all([db.close(), watcher.close()]);
});

test("a login, a logout or a signup by the operation's name is one of the client", async (t) => {
  const secret = "0123456789abcdef";
  const server = await serve({ auth: { builtIn: true, adminSecret: secret, signup: { roles: ["writer"] } }, audit: {}, buckets });
  t.after(() => server.end());
  const line = spy();
  const db = connect(server.url, { WebSocket: line.Spy, ...fast });
  const insert = (id) => db.bucket("b").insert({ id });
  const root = await db.identity.loginWithSecret({ secret });
  assert.equal(db.user.userId, root.user.id);
  await insert("1");
  const ada = await db.identity.createUser({ username: "ada", password: "correct horse" });
  await db.identity.assignRole({ userId: ada.id, roleName: "writer" });
  const who = { username: "ada", password: "correct horse" };
  await db.identity.login(who);
  assert.equal(db.user.userId, ada.id);
  await insert("2");
  await db.auth.logout();
  assert.equal(db.user, null);
  const { token } = await db.identity.login(who);
  assert.equal((await db.auth.login({ token })).userId, ada.id);
  // Nothing waits for the answer: the change is ada's, and behind her login.
  await Promise.all([db.auth.login({ token }), insert("3")]);
  line.cut();
  await insert("4");
  assert.equal(db.user.userId, ada.id);
  const { user: bob } = await db.identity.signup({ username: "bob", password: "battery staple" });
  assert.equal(db.user.userId, bob.id);
  await insert("5");
  await db.identity.loginWithSecret({ secret });
  await assert.rejects(db.auth.impersonate({ userId: ada.id }), { code: "CONFLICT" });
  await insert("6");
  assert.equal(await db.bucket("b").count(), 6);
  assert.ok(line.of("store.insert").every((one) => one.once > 0));
  await assert.rejects(db.identity.login({ username: "ada", password: "wrong" }), { code: "UNAUTHORIZED" });
  await db.close();
  await assert.rejects(db.auth.login({ token }), { code: "CLOSED" });
});

test("who logs out stays logged out, whatever was under way: a token asked for, a login that waits, a renewal", async () => {
  let asked, refreshed;
  const server = await serving((message, peer) => {
    if (message.type == "identity.login") return peer.answer(message, { token: "t1", user: { id: "ada", roles: [] }, expiresAt: Date.now() + 1500 }), true;
    if (message.type == "identity.refreshSession") return (refreshed = () => peer.answer(message, { token: "t2", user: { id: "ada", roles: [] }, expiresAt: Date.now() + 60000 })), true;
    // The line breaks in front of the answer.
    if (message.type == "auth.logout" && refreshed) return refreshed(), setImmediate(() => peer.socket.terminate()), true;
    return false;
  });
  const heard = () => server.peers.at(-1).heard.filter((one) => one.type == "auth.login").length;
  const one = connect(server.url, { WebSocket, ...fast, auth: { getToken: () => new Promise((resolve) => { asked = resolve; }) } });
  await until("asked", () => asked);
  await one.logout();
  asked("ada");
  await one.ready;
  await one.bucket("b").count();
  assert.deepEqual([one.user, heard()], [null, 0]);
  await one.close();

  const two = connect(server.url, { WebSocket, ...fast });
  const login = assert.rejects(two.login({ token: "ada" }), { code: "ABORTED" });
  await two.logout();
  await login;
  await two.bucket("b").count();
  assert.deepEqual([two.user, heard()], [null, 0]);
  await two.close();

  const three = connect(server.url, { WebSocket, ...fast, auth: { username: "ada", password: "x" } });
  await until("renewing", () => refreshed);
  await three.logout();
  await until("back", () => server.peers.length == 4 && three.status == "online");
  assert.deepEqual([three.user, heard()], [null, 0]);
  await three.close();
  await server.end();
});

test("a renewal that was asked for before somebody else logged in does not replace him", async () => {
  let asked = 0, give;
  const server = await serving((message, peer) => message.type == "auth.login" && (peer.answer(message, { userId: message.token, roles: [], expiresAt: Date.now() + 2000 }), true));
  const db = connect(server.url, { WebSocket, ...fast, auth: { getToken: () => (asked++ ? new Promise((resolve) => { give = resolve; }) : "ada") } });
  await until("renewing", () => give);
  await db.login({ token: "bob" });
  give("ada");
  await db.bucket("b").count();
  assert.deepEqual([db.user.userId, server.peers[0].heard.filter((one) => one.type == "auth.login").length], ["bob", 2]);
  await db.close();
  await server.end();
});

test("after a logout Lives are asked for again; what was made before it is parked at once, also away", async (t) => {
  const server = await serve({ auth: { tokens: users("ada"), required: false }, buckets });
  t.after(() => server.end());
  const line = spy();
  const db = connect(server.url, { WebSocket: line.Spy, ...fast, auth: { token: "ada" } });
  const live = db.bucket("b").live({ sort: { id: "asc" } });
  live.subscribe(() => {});
  await live.loaded();
  await db.logout();
  await live.move({ offset: 0, limit: 1 });
  await db.login({ token: "ada" });
  line.cut();
  await until("away", () => db.status != "online");
  const write = assert.rejects(db.bucket("b").insert({ id: "1" }), { code: "CLOSED" });
  assert.equal(db.pending()[0].parked, false);
  await db.logout();
  assert.equal(db.pending()[0].parked, true);
  await db.close();
  await write;
});

test("a password that is wrong is sent once; a getToken that rejects with nothing keeps nobody from connecting", async (t) => {
  const server = await serve({ auth: { builtIn: true, adminSecret: "0123456789abcdef" }, buckets });
  t.after(() => server.end());
  const line = spy();
  const db = connect(server.url, { WebSocket: line.Spy, ...fast, auth: { username: "ada", password: "wrong password" } });
  await db.ready;
  line.cut();
  await until("away", () => db.status != "online");
  await until("back", () => db.status == "online");
  assert.equal(line.of("identity.login").length, 1);
  await db.close();
  const none = connect(server.url, { WebSocket, ...fast, auth: { getToken: () => Promise.reject() } });
  await none.ready;
  await none.close();
});
