// The shell: how it is served, the logins, what a role shows, the lock, acting
// as somebody else, the keys, and what it asks while nobody looks.
import assert from "node:assert/strict";
import { createServer } from "node:http";
import { test } from "node:test";
import { skip } from "../chromium.mjs";
import { HERE, PASSWORD, SECRET, answering, auth, client, hides, go, login, loginAsAdmin, open, people, play, shows, start, texts, unlock, until } from "./rig.mjs";

const guarded = { console: true, audit: true, auth };
/** Nothing of a login may stand in what the browser keeps or shows. */
async function keepsNoSecret(page, ...secrets) {
  const kept = await page.evaluate(() => JSON.stringify({ ...localStorage, ...sessionStorage }) + document.cookie + location.href + document.documentElement.outerHTML);
  for (const secret of secrets) assert.ok(!kept.includes(secret), `the page keeps ${secret}`);
  assert.doesNotMatch(kept, /[0-9a-f]{32}/);
}

test("served: leads to its folder, needs gzip, is told in config.json", { skip }, async (t) => {
  const { http } = await start(t);
  const moved = await fetch(`${http}/console`, { redirect: "manual" });
  assert.deepEqual([moved.status, moved.headers.get("location")], [301, "console/"]);
  const plain = await fetch(`${http}/console/`, { headers: { "accept-encoding": "identity" } });
  assert.equal(plain.status, 406);
  const policy = (await fetch(`${http}/console/`)).headers.get("content-security-policy");
  assert.match(policy, /default-src 'none'.*trusted-types 'none'/);
  assert.deepEqual(await (await fetch(`${http}/console/config.json`)).json(), { path: "../", rpc: null, readOnly: false, auth: "open" });
});

test("the first paint needs nine requests and 42 KiB at most", { skip: skip || (process.env.NOEXD_CONSOLE == "sources" && "of what is served") }, async (t) => {
  const { server } = await start(t);
  const page = await open(t, server, "now");
  await shows(page, ".figures", "connections");
  const loaded = await page.evaluate(() => {
    const paint = performance.getEntriesByName("first-contentful-paint")[0].startTime;
    return [...performance.getEntriesByType("navigation"), ...performance.getEntriesByType("resource").filter((one) => one.responseEnd <= paint)].map((one) => [new URL(one.name).pathname.replace("/console/", ""), one.encodedBodySize]);
  });
  // The operations and the tab come meanwhile, and are not waited for.
  const needed = loaded.filter(([name]) => !/^(ops\.json|tabs\/|icon)/.test(name));
  assert.ok(needed.length <= 9, `${needed.length} requests: ${needed.map(([name]) => name)}`);
  assert.ok(loaded.reduce((sum, [, size]) => sum + size, 0) <= 42 * 1024, JSON.stringify(loaded));
});

test("first run: a sample, the first record of another program, and away with it", { skip }, async (t) => {
  const { server, db } = await start(t);
  const page = await open(t, server, "now");
  await shows(page, "main", "Start here");
  await page.click("text=Create a sample");
  await shows(page, "main", "Waiting for your first record");
  assert.ok((await texts(page, ".code")).includes(`${server.http}/client.js`));
  await page.click("text=in Python");
  await shows(page, ".code", "from noex_client import NoexClient");
  await db.bucket("kilns").insert({ heat: 1240 });
  await shows(page, "main", "from commit to screen");
  await page.click("text=Remove the sample");
  await until("gone", async () => !(await db.store.buckets()).names.length);
});

test("login: a user, his error, tiers, the lock; nothing of it stays", { skip }, async (t) => {
  const { server, db } = await start(t, guarded);
  await db.store.defineBucket({ name: "notes", config: { key: "id", schema: { id: { type: "string" }, text: { type: "string" } } } });
  await db.store.insert({ bucket: "notes", data: { id: "1", text: "hello" } });
  await people(db, { vera: "reader", wim: "writer" });
  const page = await open(t, server, "data/notes");
  await page.fill("input[name=username]", "vera");
  await page.fill("input[name=password]", "wrong");
  await page.click("button:has-text('Log in')");
  await shows(page, "#why", "Invalid");
  await login(page, "vera");
  await shows(page, "[role=grid]", "hello");
  assert.match(page.url(), /#\/data\/notes$/);
  await shows(page, "header.top", "vera");
  // A label says what her role will not do; whether it may is said by the server, where it happened.
  for (const [route, operation] of [["views", "server.views"], ["slow", "server.top"], ["audit", "audit.query"], ["backups", "store.backups"]]) {
    await shows(page, `nav.rail a[href='#/${route}']`, "needs admin");
    await go(page, route);
    await shows(page, "main .trouble >> nth=0", `FORBIDDEN No access to ${operation} on *`);
  }
  await go(page, "now");
  await shows(page, "main .panel", /Your connection[^]*vera[^]*reader[^]*1.0 MiB at most[^]*64 without an answer/);
  await shows(page, "main .trouble >> nth=0", "FORBIDDEN");
  await go(page, "people");
  await shows(page, "main", "What you may do");
  await go(page, "people/users");
  await shows(page, "main .trouble", "FORBIDDEN Admin role required");
  await go(page, "rules");
  await shows(page, "nav.tabs [aria-current=true]", "Facts");
  await play(page, "store.listQueries");
  await shows(page, "main", "needs admin");
  await page.click("button:text-is('Run')");
  await shows(page, ".panel .trouble", "FORBIDDEN No access to store.listQueries");
  assert.equal(await page.locator("text=Why?").count(), 0, "who may not ask is offered no answer");
  await keepsNoSecret(page, PASSWORD);
  // Out, and somebody else in: the route stays.
  await go(page, "data/notes");
  await page.click("details.menu summary >> nth=0");
  await page.click("text=Log out");
  await shows(page, ".login", "You logged out");
  await login(page, "wim");
  await shows(page, "[role=grid]", "hello");
  await shows(page, "header.top", "locked");
  assert.ok(await page.locator("button:text-is('New')").isDisabled());
  assert.equal(await page.locator("button:text-is('New')").getAttribute("title"), "unlock to change");
  await unlock(page);
  await page.click("button:text-is('New')");
  // Writers may not read the schema: the record is typed as JSON.
  await page.fill(".drawer textarea", '{"id":"2"}');
  await page.click("button:text-is('Insert')");
  await until("inserted", async () => (await db.bucket("notes").get("2")) != null);
  await page.reload();
  await page.waitForSelector(".login");
});

test("login: the end of a session leads back to it, with the reason", { skip }, async (t) => {
  const { server, db } = await start(t, guarded);
  const { vera } = await people(db, { vera: "reader" });
  const page = await open(t, server, "data");
  await login(page, "vera");
  await shows(page, "main", "No bucket yet");
  await db.server.revokeSessions({ userId: vera });
  await page.waitForSelector(".login");
  assert.ok((await texts(page, ".login p.muted >> nth=0")).length > 5);
});

test("login: a token from elsewhere", { skip }, async (t) => {
  const { server } = await start(t, { console: true, auth: { tokens: { "t-0123456789abcdef0123456789abcdef": { userId: "ops", roles: ["admin"] } } } });
  const page = await open(t, server, "slow");
  await page.fill("textarea[name=token]", "t-nobody");
  await page.click("button:has-text('Log in')");
  await shows(page, "#why", "Invalid token");
  await page.fill("textarea[name=token]", "t-0123456789abcdef0123456789abcdef");
  await page.click("button:has-text('Log in')");
  await shows(page, "table", "ops");
  await go(page, "people");
  await shows(page, "nav.tabs", "Sessions");
  assert.doesNotMatch(await texts(page, "nav.tabs"), /Users/);
  await keepsNoSecret(page, "t-0123456789abcdef");
});

test("acting as somebody else: her rights, the time that is left, and oneself again", { skip }, async (t) => {
  const { server, db } = await start(t, { ...guarded, dataDir: HERE });
  const { vera } = await people(db, { vera: "writer" });
  await db.store.defineBucket({ name: "notes", config: { key: "id", schema: { id: { type: "string" }, for: { type: "string" } }, rows: { read: { for: "{{ session.userId }}" } } } });
  await db.store.insertMany({ bucket: "notes", data: [{ id: "hers", for: vera }, { id: "not-hers", for: "x" }] });
  await db.procedures.register({ procedure: { name: "mine", steps: [{ action: "store.find", bucket: "notes", as: "all" }] } });
  for (const [name, reactive] of [["all-notes", true], ["asked-notes", false]]) await db.logic.defineView({ definition: { name, from: { n: "notes" }, select: { id: "n.id", for: "n.for" }, reactive } });
  const page = await open(t, server, "people");
  const sockets = [];
  page.on("websocket", (socket) => {
    const sent = [];
    sockets.push(sent);
    socket.on("framesent", ({ payload }) => sent.push(JSON.parse(payload).type));
  });
  await page.reload();
  await loginAsAdmin(page);
  // Locked, nobody is another and nobody gets a role.
  await page.click("tr:has-text('vera')");
  assert.ok(await page.locator("text=Act as vera").isDisabled());
  assert.ok(await page.getByLabel("Give a role").isDisabled());
  assert.ok(!sockets.flat().includes("auth.impersonate"));
  await unlock(page);
  await page.click("text=Act as vera");
  await shows(page, "header.top", "acting as vera");
  // Views are hers, too, live or not.
  for (const [name, state] of [["all-notes", /live\s+1 rows/], ["asked-notes", /asked every 5 s\s+1 rows/]]) {
    await go(page, `logic/views/${name}`);
    await shows(page, ".drawer", state);
    await shows(page, ".drawer .json >> nth=0", '"hers"');
    assert.doesNotMatch(await texts(page, ".drawer .json >> nth=0"), /not-hers/);
  }
  await go(page, "logic/procedures/mine");
  await shows(page, ".drawer .json", "store.find");
  await go(page, "logic/expression");
  await shows(page, "main .json", "12");
  const [own, acting] = [sockets.filter((sent) => !sent.includes("auth.impersonate")).flat(), sockets.find((sent) => sent.includes("auth.impersonate"))];
  for (const type of ["logic.subscribeView", "logic.queryView", "procedures.get", "logic.evaluateExpr"]) {
    assert.ok(acting.includes(type), `${type} of her`);
    assert.ok(!own.includes(type), `${type} of the superadmin`);
  }
  await go(page, "data/notes");
  await shows(page, "[role=grid]", "hers");
  assert.doesNotMatch(await texts(page, "[role=grid]"), /not-hers/);
  await shows(page, ".tab > header", "filtered by row rules");
  // An operation as her; and one that she may not, with the reason.
  await play(page, "store.count");
  await page.fill("textarea", '{"bucket":"notes"}');
  await page.locator("textarea").press("Control+Enter");
  await shows(page, ".panel .json", "1");
  await play(page, "store.dropBucket");
  await page.fill("textarea", '{"name":"notes"}');
  await page.click("button:text-is('Run')");
  await shows(page, ".panel", "FORBIDDEN");
  await page.click(".panel >> text=Why?");
  await shows(page, "h1", "People");
  await shows(page, "[role=status].panel", "No");
  assert.equal(await page.inputValue("input[name=who]"), vera);
  await page.click("header.top >> text=End");
  await go(page, "data/notes");
  await shows(page, "[role=grid]", "not-hers");
  // It only reads, unless that is ticked.
  const inserted = async (id) => {
    await page.click("text=Act as vera");
    await shows(page, "header.top", "acting as vera");
    await play(page, "store.insert");
    await page.fill("textarea", JSON.stringify({ bucket: "notes", data: { id, for: vera } }));
    await page.click("button:text-is('Run')");
  };
  await go(page, `people/users/${vera}`);
  await inserted("unticked");
  await shows(page, ".panel", "read-only");
  await page.click("header.top >> text=End");
  await go(page, `people/users/${vera}`);
  await page.getByLabel("with writes").check();
  await inserted("ticked");
  await until("as her", async () => (await db.bucket("notes").get("ticked")) != null);
  assert.equal(await db.bucket("notes").get("unticked"), null);
  await page.click("header.top >> text=End");
  await go(page, "data/notes");
  await shows(page, "[role=grid]", "ticked");
  assert.doesNotMatch(await texts(page, "header.top"), /acting/);
  await keepsNoSecret(page, SECRET);
});

test("acting as somebody else needs the audit log, and says so", { skip }, async (t) => {
  const { server, db } = await start(t, { console: true, auth });
  await people(db, { vera: "writer" });
  const page = await open(t, server, "people");
  await loginAsAdmin(page);
  await unlock(page);
  await page.click("tr:has-text('vera')");
  await page.click("text=Act as vera");
  await shows(page, ".notes", "Impersonation needs the audit log");
});

test("read-only: the lock cannot be opened", { skip }, async (t) => {
  const { server } = await start(t, { console: { readOnly: true } });
  const page = await open(t, server, "now");
  await shows(page, "header.top", "locked");
  assert.ok(await page.locator("button.lock").isDisabled());
  await shows(page, "main", "Start here");
  assert.ok(await page.locator("text=Create a sample").isDisabled());
});

test("locked, no operation that changes something leaves the page", { skip }, async (t) => {
  const { server, db } = await start(t, { dataDir: HERE, audit: true });
  await db.store.defineBucket({ name: "notes", config: { key: "id", schema: { id: { type: "string" } } } });
  const page = await open(t, server, "now");
  const sent = [];
  page.on("websocket", (socket) => socket.on("framesent", ({ payload }) => { try { sent.push(JSON.parse(payload).type); } catch { /* not of ours */ } }));
  await page.reload();
  await shows(page, ".figures", "connections");
  await page.click("text=unlocked");
  await shows(page, "header.top", "locked");
  sent.length = 0;
  // The one place that sends, asked for everything there is.
  const { refused, passed } = await page.evaluate(async () => {
    const { ask } = await import("./main.js");
    const ops = await (await fetch("ops.json")).json();
    const out = { refused: [], passed: [] };
    for (const [name, [, changes]] of Object.entries(ops)) {
      if (!changes || name == "store.transaction") continue;
      try { await ask(name, {}); out.passed.push(name); } catch (error) { (error.code == "LOCKED" ? out.refused : out.passed).push(name); }
    }
    for (const fields of [{ operations: [{ op: "get" }, { op: "insert" }] }, { operations: [{ op: "updateMany" }] }]) {
      try { await ask("store.transaction", fields); out.passed.push("transaction"); } catch (error) { if (error.code != "LOCKED") out.passed.push("transaction"); }
    }
    return out;
  });
  assert.deepEqual(passed, []);
  assert.ok(refused.length > 50, `${refused.length} operations`);
  const ops = await page.evaluate(async () => (await fetch("ops.json")).json());
  assert.deepEqual(sent.filter((type) => ops[type]?.[1] && !/^(store\.(subscribe|live|unsubscribe|moveWindow)|session\.)/.test(type)), []);
  // And by hand.
  await play(page, "store.clear");
  await shows(page, "main", "locked: unlock to change");
  assert.ok(await page.locator("button:text-is('Run')").isDisabled());
  await page.locator("textarea").press("Control+Enter");
  await shows(page, "main", "LOCKED");
  assert.equal(await page.locator("button:text-is('Run')").getAttribute("title"), "unlock to change");
});

test("a server that cannot keep up is said above everything until a write is taken again", { skip }, async (t) => {
  const { server, db } = await start(t);
  await db.store.defineBucket({ name: "notes", config: { key: "id", schema: { id: { type: "string" } } } });
  const pressed = { code: "BACKPRESSURE", message: "Storage is behind: 64 MiB wait for the disk" };
  const wrong = { "store.insertMany": pressed };
  const page = await open(t, server, "data/notes", { prepare: answering(wrong) });
  await page.click("button:text-is('New')");
  await page.fill("#field-id", "1");
  await page.click("button:text-is('Insert')");
  await shows(page, ".strip.bad[role=alert]", pressed.message);
  assert.equal(await page.locator(".note").count(), 0);
  // On each tab, until it is over.
  await go(page, "rules/facts");
  await shows(page, ".strip.bad", pressed.message);
  await go(page, "data/notes");
  delete wrong["store.insertMany"];
  await page.click("button:text-is('New')");
  await page.fill("#field-id", "2");
  await page.click("button:text-is('Insert')");
  await until("the record is there", async () => (await db.bucket("notes").get("2")) != null);
  await until("the banner is gone", async () => !(await page.locator(".strip").count()));
  wrong["rules.setFact"] = pressed;
  await go(page, "rules/facts");
  await page.getByLabel("Fact", { exact: true }).fill("a");
  await page.getByLabel("Value", { exact: true }).fill("1");
  await page.click("button:text-is('Set')");
  await page.click(".strip.bad >> text=Dismiss");
  await until("dismissed", async () => !(await page.locator(".strip").count()));
});

test("an internal error can be reported, without any data; errors stay, the same one stands there once", { skip }, async (t) => {
  const { server, db } = await start(t);
  await db.store.defineBucket({ name: "notes", config: { key: "id", schema: { id: { type: "string" } } } });
  const broken = { code: "INTERNAL_ERROR", message: "Internal server error" };
  const page = await open(t, server, "data/notes", { permissions: ["clipboard-read", "clipboard-write"], prepare: answering({ "store.insertMany": broken, "server.insights": broken, "rules.setFact": broken }) });
  const copied = () => page.evaluate(() => navigator.clipboard.readText());
  const report = (operation) => new RegExp(`^operation: ${operation}\ncode: INTERNAL_ERROR\nmessage: Internal server error\nversion: \\d+\\.\\d+\\.\\d+$`);
  await page.click("button:text-is('New')");
  await page.fill("#field-id", "confidential");
  await page.click("button:text-is('Insert')");
  await page.click(".note.bad >> text=Copy report");
  await shows(page, ".note.good", "Copied");
  assert.match(await copied(), report("store\\.insertMany"));
  await page.click("button:text-is('Insert')");
  await shows(page, ".note.bad", "×2");
  assert.equal(await page.locator(".note.bad").count(), 1);
  await until("what went well goes by itself", async () => !(await page.locator(".note.good").count()));
  assert.equal(await page.locator(".note.bad").count(), 1);
  await page.click(".note.bad >> [aria-label=Dismiss]");
  await hides(page, ".notes", "INTERNAL_ERROR");
  // What a tab could not read says so where it would stand.
  await go(page, "now");
  await page.click("main .trouble >> text=Copy report");
  await until("the other report", async () => report("server\\.insights").test(await copied()));
});

test("keys: tabs, palette, help, freeze, and off", { skip }, async (t) => {
  const { server, db } = await start(t, { dataDir: HERE, audit: true });
  await db.store.defineBucket({ name: "notes", config: { key: "id", schema: { id: { type: "string" } } } });
  await db.rules.registerRule({ rule: { id: "hot", name: "Hot sensor", priority: 1, enabled: true, trigger: { type: "event", topic: "x" }, conditions: [], actions: [{ type: "set_fact", key: "a", value: 1 }] } });
  const page = await open(t, server, "now");
  await shows(page, "main", "Nothing needs attention");
  const keys = { d: "Data", v: "Live views", w: "Who is slow", r: "Rules", p: "Procedures & logic", u: "People", a: "Audit", y: "Playground", b: "Backups", n: "Now" };
  for (const [key, title] of Object.entries(keys)) {
    await page.keyboard.press("g");
    await page.keyboard.press(key);
    await shows(page, "h1", title);
  }
  await page.keyboard.press("Control+k");
  await page.keyboard.type("rule hot");
  await shows(page, "#found", "Hot sensor");
  await page.keyboard.press("Enter");
  await shows(page, ".drawer h2 >> nth=0", "hot");
  await page.keyboard.press("Escape");
  await until("the drawer is closed", async () => !(await page.locator(".drawer").count()));
  await page.keyboard.press("?");
  await shows(page, "dialog", "It protects from slips");
  await page.click("text=Show licences");
  await shows(page, "dialog pre", "preact");
  await page.keyboard.press("Escape");
  await until("the help is closed", async () => !(await page.locator("dialog").count()));
  await page.keyboard.press("Control+`");
  await page.waitForSelector("section.over textarea");
  await page.keyboard.press("Control+`");
  await page.click("details.menu summary >> nth=0");
  await page.getByLabel("Single-letter keys").uncheck();
  await page.keyboard.press("Escape");
  await page.locator("main").focus();
  await page.keyboard.press(".");
  await page.keyboard.press("g");
  await page.keyboard.press("d");
  assert.equal(await page.locator(".strip").count(), 0);
  await shows(page, "h1", "Rules");
});

test("who is logged in and looks again and again is recorded once", { skip }, async (t) => {
  const { server, db } = await start(t, guarded);
  const page = await open(t, server, "people/may");
  await loginAsAdmin(page);
  await shows(page, "main", "Ask");
  await page.evaluate(async () => {
    const { ask } = await import("./main.js");
    for (let i = 0; i < 20; i++) await ask("server.insights");
  });
  const { entries } = await db.audit.query({ operation: "server.insights", limit: 100 });
  assert.equal(entries.length, 1);
});

test("theme and density are switched in the user menu, kept, and nothing else is", { skip }, async (t) => {
  const { server, db } = await start(t);
  await db.store.defineBucket({ name: "notes", config: { key: "id", schema: { id: { type: "string" } } } });
  await db.store.insertMany({ bucket: "notes", data: Array.from({ length: 40 }, (_, i) => ({ id: `n${i}` })) });
  const page = await open(t, server, "data/notes", { colorScheme: "light" });
  await shows(page, "[role=grid]", "n5");
  const looks = () => page.evaluate(() => {
    const [first, second] = document.querySelectorAll("[role=row].body");
    return [getComputedStyle(document.body).backgroundColor, first.offsetHeight, second.offsetTop - first.offsetTop];
  });
  const are = (what, wanted) => until(what, async () => JSON.stringify(await looks()) == JSON.stringify(wanted));
  await are("light and dense", ["rgb(255, 255, 255)", 28, 28]);
  await page.click("details.menu summary >> nth=0");
  await page.getByLabel("Theme").selectOption("dark");
  await page.getByLabel("Rows").selectOption("comfortable");
  await are("dark and comfortable", ["rgb(16, 19, 23)", 36, 36]);
  await page.reload();
  await shows(page, "[role=grid]", "n5");
  await are("still so", ["rgb(16, 19, 23)", 36, 36]);
  assert.deepEqual(await page.evaluate(() => [Object.keys(localStorage).sort(), Object.keys(sessionStorage), document.cookie]), [["noexd-console:density", "noexd-console:theme"], [], ""]);
  await page.emulateMedia({ colorScheme: "dark" });
  await page.click("details.menu summary >> nth=0");
  await page.getByLabel("Theme").selectOption("system");
  await are("as the system has it", ["rgb(16, 19, 23)", 36, 36]);
  await page.emulateMedia({ colorScheme: "light" });
  await are("and follows it", ["rgb(255, 255, 255)", 36, 36]);
});

test("nobody looks, nothing is asked; ten minutes of looking leave few entries in the audit log", { skip }, async (t) => {
  const { server, db } = await start(t, { dataDir: HERE, audit: true });
  await db.store.defineBucket({ name: "notes", config: { key: "id", schema: { id: { type: "string" } } } });
  const page = await open(t, server, "about:blank");
  await page.clock.install();
  const sent = [];
  page.on("websocket", (socket) => socket.on("framesent", ({ payload }) => { try { sent.push(JSON.parse(payload).type); } catch { /* not of ours */ } }));
  await page.goto(`${server.http}/console/#/now`);
  await page.reload();
  await shows(page, ".figures", "connections");
  const before = (await db.audit.query({ limit: 1000 })).entries.length;
  // Ten minutes of the page's clock. The server's own ten are of real time: it sees
  // some hundred requests in seconds, and must not write them down one by one.
  for (let i = 0; i < 60; i++) {
    const [asked, answered] = [sent.length, await page.evaluate(() => performance.now())];
    await page.clock.runFor(10000);
    assert.ok(answered >= 0);
    await until("it asked again", () => sent.length > asked);
  }
  assert.ok(sent.filter((type) => type == "server.insights").length > 50, `asked ${sent.length} times`);
  const { entries } = await db.audit.query({ limit: 1000 });
  const looked = entries.length - before;
  assert.ok(looked <= 8, `${looked} entries: ${entries.slice(0, looked).map((one) => one.operation)}`);
  await page.evaluate(() => {
    Object.defineProperty(document, "visibilityState", { get: () => "hidden", configurable: true });
    document.dispatchEvent(new Event("visibilitychange"));
  });
  await page.clock.runFor(1000);
  const quiet = sent.length;
  await page.clock.runFor(120000);
  await db.store.stats();
  assert.deepEqual(sent.slice(quiet).filter((type) => !/^(ping|pong|session\.open)$/.test(type)), []);
  await page.evaluate(() => {
    Object.defineProperty(document, "visibilityState", { get: () => "visible", configurable: true });
    document.dispatchEvent(new Event("visibilitychange"));
  });
  await until("it asks again", () => sent.slice(quiet).includes("server.insights"));
});

test("a prefix in front of it: a proxy may put the page anywhere", { skip }, async (t) => {
  const { server } = await start(t);
  const front = createServer(async (request, response) => {
    const answer = await fetch(server.http + request.url.replace(/^\/deep/, ""), { redirect: "manual", headers: { "accept-encoding": "gzip" } });
    response.writeHead(answer.status, { "content-type": answer.headers.get("content-type") ?? "text/plain", ...(answer.headers.get("location") && { location: answer.headers.get("location") }) });
    response.end(Buffer.from(await answer.arrayBuffer()));
  });
  await new Promise((resolve) => front.listen(0, "127.0.0.1", resolve));
  t.after(() => front.close());
  const answer = await fetch(`http://127.0.0.1:${front.address().port}/deep/console`);
  assert.match(await answer.text(), /<div id="app">/);
  assert.equal(new URL(answer.url).pathname, "/deep/console/");
});
