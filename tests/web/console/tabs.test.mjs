// The journeys of the other tabs: each source is shown, each control does what it
// says, seen by another client.
import assert from "node:assert/strict";
import { test } from "node:test";
import { WebSocket as WsSocket } from "ws";
import { skip } from "../chromium.mjs";
import { HERE, PASSWORD, auth, client, go, hides, login, loginAsAdmin, open, people, play, shows, start, texts, unlock, until } from "./rig.mjs";

const RULE = { id: "hot", name: "Hot sensor", priority: 50, enabled: true, trigger: { type: "event", topic: "sensor.reading" }, conditions: [{ source: { type: "event", field: "celsius" }, operator: "gt", value: 70 }], actions: [{ type: "set_fact", key: "alarm", value: true }] };

test("Now: a scan that wastes, its cure looked at and applied", { skip }, async (t) => {
  const { server, db } = await start(t);
  await db.store.defineBucket({ name: "parts", config: { key: "sku", schema: { sku: { type: "string" }, maker: { type: "string" } } } });
  for (let i = 0; i < 20; i++) await db.store.insertMany({ bucket: "parts", data: Array.from({ length: 500 }, (_, n) => ({ sku: `${i}-${n}`, maker: `m${n}` })), answer: "counts" });
  // Some hundred thousand records looked at in a minute, for next to nothing.
  const wasted = async () => { await db.bucket("parts").count({ maker: "m1" }); return (await db.server.insights()).insights.some((one) => one.kind == "scan"); };
  await until("the server tells of a scan", wasted);
  const page = await open(t, server, "now");
  await shows(page, "[aria-label=Attention]", "scan");
  await page.click("text=Apply…");
  await shows(page, "dialog .json", "addIndexes");
  await page.click("dialog >> button:text-is('Apply')");
  await until("there is an index", async () => (await db.store.getBucketSchema({ name: "parts" })).config.indexes?.includes("maker"));
  await page.click(".insight:has-text('scan') >> text=Open");
  await shows(page, "h1", "parts");
});

test("Live views: what is kept for whom, a query watched, defined and undefined", { skip }, async (t) => {
  const { server, db } = await start(t);
  await db.store.defineBucket({ name: "parts", config: { key: "sku", schema: { sku: { type: "string" }, qty: { type: "number" } } } });
  await db.store.insertMany({ bucket: "parts", data: [{ sku: "M1", qty: 1 }, { sku: "M2", qty: 9 }] });
  await db.store.defineQuery({ name: "below", config: { bucket: "parts", filter: { qty: { $lt: "{{ params.most }}" } }, sort: { qty: "asc" }, limit: 20 } });
  const page = await open(t, server, "views");
  await shows(page, "table", "below");
  const stop = db.live("below", { most: 5 }).subscribe(() => {});
  t.after(stop);
  await shows(page, "table", '{"most":5}');
  await page.click("tr:has-text('most')");
  await shows(page, ".drawer", "M1");
  await db.bucket("parts").update("M2", { qty: 2 });
  await shows(page, ".drawer", "M2");
  await page.click("text=Define a query");
  await page.fill(".drawer input", "all-parts");
  await page.fill(".drawer textarea", '{"bucket":"parts"}');
  await page.click(".drawer >> button:text-is('Define')");
  await until("defined", async () => (await db.store.listQueries()).queries.some((one) => one.name == "all-parts"));
  await page.fill("[data-filter]", "all-p");
  await page.click("tr:has-text('all-parts')");
  await page.click("text=Undefine…");
  await page.click("dialog >> button:text-is('Undefine')");
  await until("undefined", async () => !(await db.store.listQueries()).queries.some((one) => one.name == "all-parts"));
});

test("Who is slow: a reader that stalls is found, traced and disconnected", { skip }, async (t) => {
  const { server, db } = await start(t, { audit: true, name: "orders-eu" });
  await db.store.defineBucket({ name: "big", config: { key: "id", schema: { id: { type: "string" }, text: { type: "string" }, n: { type: "number" } } } });
  await db.store.insertMany({ bucket: "big", data: Array.from({ length: 40 }, (_, i) => ({ id: `r${i}`, text: "x".repeat(20000), n: 0 })), answer: "counts" });
  const stalled = new WsSocket(server.url, { headers: { "user-agent": "stalled/1" } });
  t.after(() => stalled.terminate());
  const id = await new Promise((resolve) => stalled.on("message", (line) => {
    const message = JSON.parse(line);
    if (message.type == "welcome") stalled.send(JSON.stringify({ id: 1, type: "store.live", bucket: "big" }));
    if (message.id == 1) resolve();
  })).then(async () => {
    stalled._socket.pause();
    return (await db.server.top({ limit: 50 })).rows.find((row) => row.userAgent == "stalled/1").connectionId;
  });
  await until("it is behind", async () => {
    await db.bucket("big").update("r1", { n: Math.random() });
    return (await db.server.top({ sort: "behind", limit: 1 })).rows[0].behindMs > 1500;
  });
  const page = await open(t, server, "slow");
  await shows(page, `tr:has-text("${id}")`, /▲\s*\d+ s/);
  // The shell says so on every tab, and of which server.
  await shows(page, "nav.rail a:has-text('Who is slow')", /▲\s*1$/);
  await shows(page, "header.top", "orders-eu");
  assert.equal(await page.title(), "Who is slow · orders-eu");
  await page.click(`tr:has-text("${id}") td >> nth=0`);
  await shows(page, ".drawer", "stalled/1");
  await shows(page, ".drawer", "TRACE");
  await page.keyboard.press("Escape");
  await page.locator(`tr:has-text("${id}")`).focus();
  await page.keyboard.press("x");
  await shows(page, "dialog", "it will come back");
  await page.click("dialog >> button:text-is('Disconnect')");
  await until("gone", async () => !(await db.server.top({ limit: 50 })).rows.some((row) => row.connectionId == id));
  await hides(page, "table", id);
  await hides(page, "nav.rail", "▲");
  // A trace of one that does something: what it asked for, never what it said.
  const other = await client(t, server);
  const its = (await db.server.top({ limit: 50 })).rows.map((row) => row.connectionId).sort((a, b) => +b.slice(5) - +a.slice(5))[0];
  await page.locator(`tr:has-text("${its}")`).focus();
  await page.keyboard.press("t");
  await shows(page, ".drawer", "TRACE");
  await other.bucket("big").count({ n: 4711 });
  await shows(page, "[role=log]", "store.count big");
  assert.doesNotMatch(await texts(page, "[role=log]"), /4711/);
  await page.click(".drawer >> button:text-is('Stop')");
  await shows(page, ".drawer", "ended: stopped");
});

test("Who is slow: too many traces, those of this page end to make room", { skip }, async (t) => {
  const { server, db } = await start(t);
  await db.store.defineBucket({ name: "b", config: { key: "id", schema: { id: { type: "string" } } } });
  await db.rules.registerRule({ rule: RULE });
  const page = await open(t, server, "rules/rules/hot");
  await page.click(".drawer >> button:text-is('Trace')");
  await shows(page, ".drawer", "TRACE");
  for (let i = 0; i < 3; i++) await db.watch("server.trace", { bucket: "b" }, () => {});
  await page.click("tr:has-text('hot') td >> nth=1");
  await page.click(".drawer >> text=End the trace");
  const end = await until("the page's trace is over", () => db.watch("server.trace", { bucket: "b" }, () => {}).catch(() => null));
  await page.click(".drawer >> button:text-is('Trace')");
  await shows(page, ".drawer", "Too many traces");
  await end();
  await page.click(".drawer >> text=Try again");
  await shows(page, ".drawer", "TRACE");
});

test("Rules: why one did not fire, on and off, edited, facts and events", { skip }, async (t) => {
  const { server, db } = await start(t);
  await db.rules.registerRule({ rule: RULE });
  const page = await open(t, server, "rules");
  await shows(page, "table", "Hot sensor");
  await shows(page, "table", "event sensor.reading");
  await page.locator("tr:has-text('hot')").focus();
  await page.keyboard.press(" ");
  await until("off", async () => !(await db.rules.getRule({ ruleId: "hot" })).enabled);
  await shows(page, "table", "Switch on");
  await page.keyboard.press(" ");
  await until("on", async () => (await db.rules.getRule({ ruleId: "hot" })).enabled);
  await page.keyboard.press("t");
  await shows(page, ".drawer", "TRACE");
  await db.rules.emit({ topic: "sensor.reading", data: { celsius: 65 } });
  await shows(page, "[role=log]", "stopped at 1: event.celsius is 65, gt 70");
  await db.rules.emit({ topic: "sensor.reading", data: { celsius: 80 } });
  await shows(page, "[role=log]", "fired");
  // Typed wrong, it says where; changed by somebody else, it asks first.
  const rule = JSON.parse(await page.inputValue(".drawer textarea"));
  await page.fill(".drawer textarea", JSON.stringify({ ...rule, conditions: [{ ...rule.conditions[0], operator: "above" }] }, null, 2));
  await shows(page, ".drawer .issues", /line 1\d, conditions\[0\]\.operator/);
  assert.ok(await page.locator(".drawer >> button:text-is('Save')").isDisabled());
  await page.fill(".drawer textarea", JSON.stringify({ ...rule, name: "Mine" }, null, 2));
  await db.rules.updateRule({ ruleId: "hot", updates: { name: "Theirs" } });
  await until("it may be saved", () => page.locator(".drawer >> button:text-is('Save')").isEnabled());
  await page.click(".drawer >> button:text-is('Save')");
  await shows(page, "dialog", "Somebody changed hot");
  await page.click("dialog >> button:text-is('Overwrite')");
  await until("overwritten", async () => (await db.rules.getRule({ ruleId: "hot" })).name == "Mine");
  await go(page, "rules/facts");
  await shows(page, "table", "alarm");
  await page.getByLabel("Fact", { exact: true }).fill("tank:1:level");
  await page.getByLabel("Value", { exact: true }).fill("42");
  await page.click("button:text-is('Set')");
  await until("set", async () => (await db.rules.getFact({ key: "tank:1:level" }))?.value === 42 || (await db.rules.getFact({ key: "tank:1:level" })) === 42);
  await page.getByLabel("Pattern").fill("tank:*:level");
  await hides(page, "table", "alarm");
  await page.click("tr:has-text('tank:1:level') >> button:text-is('Delete')");
  await until("deleted", async () => !(await db.rules.queryFacts({ pattern: "tank:*" })).length);
  await go(page, "rules/events");
  await shows(page, "main", "No event since");
  await page.getByLabel("Data", { exact: true }).fill('{"celsius": 99}');
  await page.click("button:text-is('Emit')");
  await shows(page, "table", "sensor.reading");
  await go(page, "rules/timers");
  await shows(page, "main", "No timer is armed");
});

test("a trace ends by itself: at two hundred lines, and when its time is over", { skip }, async (t) => {
  const { server, db } = await start(t);
  await db.rules.registerRule({ rule: RULE });
  const page = await open(t, server, "rules/rules/hot");
  await page.click(".drawer >> button:text-is('Trace')");
  await shows(page, ".drawer", "TRACE");
  for (let i = 0; i < 210; i++) await db.rules.emit({ topic: "sensor.reading", data: { celsius: i } });
  await shows(page, ".drawer", "ended: entries");
  assert.equal(await page.locator("[role=log] > div").count(), 200);
  await play(page, "server.trace");
  await page.fill("textarea", '{"ruleId":"hot","durationMs":1000}');
  await page.locator("textarea").press("Control+Enter");
  await shows(page, ".panel", '"reason": "time"');
});

test("the examples that an empty list shows can be used as they stand", { skip }, async (t) => {
  const { server, db } = await start(t);
  for (const name of ["tickets", "parts", "invoices"]) await db.store.defineBucket({ name, config: { key: "id", schema: { id: { type: "string" }, open: { type: "boolean" }, qty: { type: "number" }, price: { type: "number" }, client: { type: "string" }, total: { type: "number" } } } });
  await db.store.insert({ bucket: "invoices", data: { id: "1", client: "acme", total: 5 } });
  const page = await open(t, server, "rules");
  await page.click("text=New rule");
  await page.click(".drawer >> button:text-is('Save')");
  await until("a rule", async () => (await db.rules.getRules()).rules.length == 1);
  await go(page, "logic");
  await page.click("text=Register");
  await page.click(".drawer >> button:text-is('Define')");
  await until("a procedure", async () => (await db.procedures.list()).procedures.length == 1);
  for (const [part, operation] of [["views", "listViews"], ["computed", "listComputed"], ["constraints", "listConstraints"]]) {
    await go(page, `logic/${part}`);
    await page.click("text=Define a");
    await page.click(".drawer >> button:text-is('Define')");
    await until(part, async () => (await db.logic[operation]({})).length == 1);
  }
  await go(page, "logic/views/owed");
  await shows(page, ".drawer .json", "acme");
  await db.store.insert({ bucket: "invoices", data: { id: "2", client: "borel", total: 7 } });
  await shows(page, ".drawer .json", "borel");
});

test("Procedures: called from a form, with what failed where; an expression against a record", { skip }, async (t) => {
  const { server, db } = await start(t);
  await db.store.defineBucket({ name: "tickets", config: { key: "id", schema: { id: { type: "string" }, open: { type: "boolean" }, qty: { type: "number" } } } });
  await db.store.insert({ bucket: "tickets", data: { id: "T-9", open: true, qty: 3 } });
  await db.procedures.register({ procedure: { name: "close-ticket", input: { ticket: { type: "string", required: true } }, steps: [{ action: "store.count", bucket: "tickets", as: "n" }, { action: "store.update", bucket: "tickets", key: "{{ input.ticket }}", data: { open: false } }] } });
  const page = await open(t, server, "logic");
  await page.click("tr:has-text('close-ticket')");
  await page.fill("#field-ticket", "T-0");
  await page.click(".drawer >> button:text-is('Call')");
  await shows(page, "dialog", "may change data");
  await page.click("dialog >> button:text-is('Call')");
  await shows(page, ".drawer", "NOT_FOUND");
  await shows(page, ".drawer", "It stopped at step 2: what the 1 before it did stays");
  await page.fill("#field-ticket", "T-9");
  await page.locator("#field-ticket").press("Control+Enter");
  await until("closed", async () => !(await db.bucket("tickets").get("T-9")).open);
  await page.click(".drawer >> button:text-is('Edit')");
  const text = await page.locator(".drawer textarea").last().inputValue();
  await page.locator(".drawer textarea").last().fill(text.replace("T-", "").replace('"open": false', '"open": true'));
  await page.click(".drawer >> button:text-is('Save')");
  await until("updated", async () => JSON.stringify(await db.procedures.get({ name: "close-ticket" })).includes('"open":true'));
  await page.click("text=Unregister…");
  await page.click("dialog >> button:text-is('Unregister')");
  await until("gone", async () => !(await db.procedures.list()).procedures.length);
  await go(page, "logic/expression");
  await page.fill("[aria-label=Expression]", '{"$multiply": ["$qty", 7]}');
  await page.fill("input[name=bucket]", "tickets");
  await page.fill("input[name=key]", "T-9");
  await page.click("text=Take it");
  await until("the record", async () => (await page.inputValue("[aria-label=Record]")).includes("T-9"));
  await until("its value", async () => (await page.locator(".json").last().innerText()).trim() == "21");
});

test("People: somebody is signed up, given a role, explained, renewed and disabled", { skip }, async (t) => {
  const { server, db } = await start(t, { console: true, audit: true, auth });
  await db.store.defineBucket({ name: "parts", config: { key: "id", schema: { id: { type: "string" } } } });
  const page = await open(t, server, "people");
  await loginAsAdmin(page);
  await unlock(page);
  await shows(page, "main", "No user yet");
  await page.click("text=New user");
  await page.fill(".drawer input[name=username]", "mira");
  await page.fill(".drawer input[name=password]", PASSWORD);
  await page.click(".drawer >> button:text-is('Create')");
  await page.click("tr:has-text('mira')");
  await page.selectOption("[aria-label='Give a role']", "reader");
  await shows(page, ".drawer .chip", "reader");
  await shows(page, "tr:has-text('mira')", "reader");
  const mira = await client(t, server, { auth: { username: "mira", password: PASSWORD } });
  await shows(page, "tr:has-text('mira')", "1");
  // May I? No, and which step says so.
  await page.click(".drawer >> text=May mira…?");
  await page.fill("input[name=operation]", "store.insert");
  await page.fill("input[name=resource]", "parts");
  await page.click("button:text-is('Ask')");
  await shows(page, "[role=status].panel", "No");
  await shows(page, "[role=status].panel", "FORBIDDEN");
  await assert.rejects(mira.bucket("parts").insert({ id: "1" }), { code: "FORBIDDEN" });
  // An access list lets her.
  await go(page, "people/lists");
  await page.fill("form input[name=name]", "parts");
  await page.click("button:text-is('Show')");
  await shows(page, "main", "Owner");
  const { users: [{ id }] } = await db.identity.listUsers();
  await page.fill("input[name=subjectId]", id);
  await page.check("input[name=write]");
  await page.click("button:text-is('Grant')");
  await shows(page, "table", "mira");
  await mira.bucket("parts").insert({ id: "1" });
  await page.click("tr:has-text('mira') >> text=Revoke");
  await hides(page, "table", "mira");
  await page.fill("input[name=to]", id);
  await page.click("button:text-is('Transfer')");
  await shows(page, "main", "Owner: mira");
  // A role of one's own, its patterns tried.
  await go(page, "people/roles");
  await page.click("text=New role");
  await page.fill(".drawer input >> nth=0", "counter");
  await page.fill(".drawer textarea", '[{"allow": ["store.count"]}]');
  await page.fill(".drawer input[list=operations]", "store.count");
  await shows(page, ".drawer p[role=status]", "store.count");
  await page.fill(".drawer input[list=operations]", "store.get");
  await shows(page, ".drawer", "no pattern matches");
  await page.click(".drawer >> button:text-is('Save')");
  await until("the role", async () => (await db.identity.listRoles()).roles.some((role) => role.name == "counter"));
  // Sessions, and a password that is shown once.
  await go(page, "people/sessions");
  await shows(page, "table", id.slice(-6));
  await go(page, `people/users/${id}`);
  await page.click("text=Reset password");
  await shows(page, ".drawer", "shown once");
  const password = (await page.locator(".drawer .code pre").innerText()).trim();
  await client(t, server, { auth: { username: "mira", password } });
  await page.click("text=Disable");
  await shows(page, "tr:has-text('mira')", "disabled");
  await page.click("text=Delete…");
  await page.fill("dialog input", "mira");
  await page.click("dialog >> button:text-is('Delete')");
  await shows(page, "main", "No user yet");
});

test("Logic: who may only read asks for a view and a procedure by name", { skip }, async (t) => {
  const { server, db } = await start(t, { console: true, auth });
  await db.store.defineBucket({ name: "invoices", config: { key: "id", schema: { id: { type: "string" }, client: { type: "string" }, total: { type: "number" } } } });
  await db.store.insert({ bucket: "invoices", data: { id: "1", client: "acme", total: 5 } });
  await db.logic.defineView({ definition: { name: "owed", from: { i: "invoices" }, groupBy: "i.client", select: { client: "i.client", sum: { $sum: "i.total" } } } });
  await db.procedures.register({ procedure: { name: "count", steps: [{ action: "store.count", bucket: "invoices", as: "n" }] } });
  await people(db, { vera: "reader", wim: "writer" });
  const page = await open(t, server, "logic/views");
  await login(page, "vera");
  await page.fill("[aria-label='Name of a view']", "owed");
  await page.click("button:text-is('Open')");
  await shows(page, ".drawer .json", "acme");
  await shows(page, ".drawer .trouble", "FORBIDDEN No access to logic.explainView on owed");
  await go(page, "logic");
  await page.fill("[aria-label='Name of a procedure']", "count");
  await page.click("button:text-is('Open')");
  await shows(page, ".drawer .json", "store.count");
  await unlock(page);
  await page.click(".drawer >> button:text-is('Call')");
  await page.click("dialog >> button:text-is('Call')");
  await shows(page, ".drawer .trouble", "FORBIDDEN No access to procedures.call on count");
  const other = await open(t, server, "logic/procedures/count");
  await login(other, "wim");
  await unlock(other);
  await other.click(".drawer >> button:text-is('Call')");
  await other.click("dialog >> button:text-is('Call')");
  await until("called", async () => /ms/.test(await texts(other, ".drawer .bar")));
});

test("People: a reader changes his password", { skip }, async (t) => {
  const { server, db } = await start(t, { console: true, auth });
  await people(db, { vera: "reader" });
  const other = await open(t, server, "people");
  await login(other, "vera");
  await unlock(other);
  await other.fill("input[name=current]", PASSWORD);
  await other.fill("input[name=next]", `${PASSWORD} too`);
  await other.click("button:text-is('Change')");
  await shows(other, ".notes", "The password is another one");
  await client(t, server, { auth: { username: "vera", password: `${PASSWORD} too` } });
});

test("Audit: filtered, opened, followed", { skip }, async (t) => {
  const { server, db } = await start(t, { console: true, audit: true, auth });
  await people(db, { mira: "admin" });
  await assert.rejects(db.identity.login({ username: "mira", password: "wrong" }));
  const page = await open(t, server, "audit");
  await loginAsAdmin(page);
  await shows(page, "table", "identity.createUser");
  await page.selectOption("label:has-text('Result') select", "error");
  await hides(page, "table", "identity.createUser");
  await page.selectOption("label:has-text('Result') select", "");
  await page.click("tr:has-text('identity.createUser')");
  await shows(page, ".drawer .json", "remoteAddress");
  await page.click("text=Same operation");
  await until("only that", async () => (await page.locator("tbody tr").count()) == 1);
  await db.identity.createUser({ username: "more", password: PASSWORD });
  await until("the tail brings it", async () => (await page.locator("tbody tr").count()) == 2);
  await page.keyboard.press("Escape");
  await page.keyboard.press("t");
  await shows(page, "main", "Tail off");
});

test("Playground: completed, run, copied, remembered without what is secret; a subscription streams", { skip }, async (t) => {
  const { server, db } = await start(t, { http: true, dataDir: HERE });
  await db.store.defineBucket({ name: "parts", config: { key: "sku", schema: { sku: { type: "string" }, qty: { type: "number" } } } });
  await db.store.insertMany({ bucket: "parts", data: [{ sku: "M1", qty: 1 }, { sku: "M2", qty: 9 }] });
  const page = await open(t, server, "play?operation=store.find", { permissions: ["clipboard-read", "clipboard-write"] });
  await until("the bucket is filled in", async () => (await page.inputValue("textarea")).includes("parts"));
  await page.fill("textarea", '{"bucket":"parts","filter":{"q');
  await page.locator("textarea").press("Control+ ");
  await shows(page, ".offer", "qty");
  await page.keyboard.press("Enter");
  await page.keyboard.type('":{"$l');
  await page.locator("textarea").press("Control+ ");
  await shows(page, ".offer", "$lt");
  await page.keyboard.press("Enter");
  await page.keyboard.type('":5}}}');
  await until("completed", async () => (await page.inputValue("textarea")) == '{"bucket":"parts","filter":{"qty":{"$lt":5}}}');
  await page.locator("textarea").press("Control+Enter");
  await shows(page, ".panel", "1 rows");
  await page.click("text=As a table");
  await shows(page, "table", "M1");
  const copied = async (name) => { await page.click(`button:text-is('${name}')`); await shows(page, ".notes", "Copied"); return page.evaluate(() => navigator.clipboard.readText()); };
  assert.equal(await copied("JavaScript"), 'await db.store.find({"bucket":"parts","filter":{"qty":{"$lt":5}}});');
  assert.equal(await copied("Python"), 'await client.request("store.find", {"bucket": "parts", "filter": {"qty": {"$lt": 5}}})');
  const curl = await copied("curl");
  const { execFile } = await import("node:child_process");
  const answer = await new Promise((resolve, reject) => execFile("sh", ["-c", curl], (error, out) => (error ? reject(error) : resolve(JSON.parse(out)))));
  assert.equal(JSON.stringify(answer).includes('"M1"'), true);
  await page.click("text=As a tree");
  await shows(page, ".tree", "sku: \"M1\"");
  await page.click("text=As JSON");
  // What the server complains of is marked at its line.
  await page.fill("textarea", '{\n  "bucket": "parts",\n  "filter": {"qty": {"$nothing": 5}}\n}');
  await page.locator("textarea").press("Control+Enter");
  await shows(page, ".issues", /^line 3, "\$nothing"/);
  // An array, or several lines, are one transaction.
  await page.fill("textarea", '{"op":"insert","bucket":"parts","data":{"sku":"M5"}}\n{"op":"delete","bucket":"parts","key":"M5"}');
  await page.locator("textarea").press("Control+Enter");
  await shows(page, ".panel", '"deleted": true');
  await page.fill("textarea", '[{"op":"insert","bucket":"parts","data":{"sku":"M3"}},{"op":"count","bucket":"parts"}]');
  await page.locator("textarea").press("Control+Enter");
  await shows(page, ".panel", "store.transaction");
  assert.equal(await db.bucket("parts").count(), 3);
  // What is secret is in no history.
  await play(page, "identity.login");
  await page.fill("textarea", '{"username":"mira","password":"sesame-open"}');
  await page.locator("textarea").press("Control+Enter");
  await shows(page, ".panel", /UNKNOWN_OPERATION|not configured/i);
  await page.fill("textarea", "{}");
  await page.locator("textarea").press("Alt+ArrowUp");
  await until("the history", async () => (await page.inputValue("textarea")).includes("•••"));
  assert.doesNotMatch(await page.evaluate(() => document.documentElement.outerHTML), /sesame-open/);
  // A subscription streams until it is stopped.
  await play(page, "store.live");
  await page.fill("textarea", '{"bucket":"parts"}');
  await page.locator("textarea").press("Control+Enter");
  await shows(page, ".panel", "0 pushes");
  await db.bucket("parts").insert({ sku: "M4" });
  await shows(page, ".panel", "1 pushes");
  await page.click("button:text-is('Stop')");
  await hides(page, "main", "1 pushes");
  // So do several of one request, each under its id, whatever they are of.
  await db.store.defineQuery({ name: "few", config: { bucket: "parts", filter: { qty: { $lt: 5 } } } });
  await db.logic.defineView({ definition: { name: "all-parts", from: { p: "parts" }, select: { sku: "p.sku" }, reactive: true } });
  await play(page, "store.subscribeMany");
  await page.fill("textarea", '{"subscriptions":[{"type":"store.subscribe","query":"few","mode":"delta"},{"type":"store.live","bucket":"nothing"},{"type":"store.live","bucket":"parts"}]}');
  await page.locator("textarea").press("Control+Enter");
  await shows(page, ".panel", '"code": "BUCKET_NOT_DEFINED"');
  await shows(page, ".panel", "0 pushes");
  const subscriptions = async () => (await db.server.top({ limit: 50 })).rows.reduce((sum, row) => sum + row.subscriptions, 0);
  const before = await subscriptions();
  await db.bucket("parts").insert({ sku: "M6", qty: 1 });
  await shows(page, ".panel", "2 pushes");
  await shows(page, ".panel", '"subscriptionId": "sub-');
  await page.click("button:text-is('Stop')");
  await until("both are over", async () => (await subscriptions()) == before - 2);
  for (const [operation, fields, wanted] of [["logic.subscribeView", '{"name":"all-parts"}', "M7"], ["rules.subscribe", '{"pattern":"*"}', "kiln.reading"], ["server.trace", '{"bucket":"parts"}', "commit"]]) {
    await play(page, operation);
    await page.fill("textarea", fields);
    await page.locator("textarea").press("Control+Enter");
    await shows(page, ".panel", "0 pushes");
    await db.store.upsert({ bucket: "parts", data: { sku: "M7", qty: Math.random() } });
    await db.rules.emit({ topic: "kiln.reading", data: {} });
    await shows(page, ".panel", /[1-9]\d* pushes/);
    await shows(page, ".panel .json >> nth=0", wanted);
    await page.click("button:text-is('Stop')");
    await hides(page, "main", "pushes");
  }
  await until("none is left", async () => (await subscriptions()) == before - 2);
});

test("Backups: made, one bucket of two put back, deleted; without a folder it says how", { skip }, async (t) => {
  const { server, db } = await start(t, { dataDir: HERE });
  for (const name of ["one", "two"]) {
    await db.store.defineBucket({ name, config: { key: "id", schema: { id: { type: "string" } } } });
    await db.store.insert({ bucket: name, data: { id: "a" } });
  }
  const page = await open(t, server, "backups");
  await shows(page, "main", "No backup yet");
  await page.fill("input[aria-label=Name]", "kept");
  await page.click("text=Back up now");
  await shows(page, "table", "kept");
  for (const name of ["one", "two"]) await db.bucket(name).delete("a");
  await page.click("text=Restore");
  await page.getByLabel("two", { exact: true }).uncheck();
  assert.ok(await page.locator("dialog >> button:text-is('Restore')").isDisabled());
  await page.fill("dialog input:not([type=checkbox])", "kept");
  await page.click("dialog >> button:text-is('Restore')");
  await until("one is back", async () => (await db.bucket("one").get("a")) != null);
  assert.equal(await db.bucket("two").get("a"), null);
  await page.click("text=Delete");
  await page.click("dialog >> button:text-is('Delete')");
  await shows(page, "main", "No backup yet");
  const { server: bare } = await start(t);
  const other = await open(t, bare, "backups");
  await shows(other, ".code", "--data-dir");
});

test("what is switched off says which lines switch it on", { skip }, async (t) => {
  const { server } = await start(t, { rules: false, procedures: false, logic: false });
  const page = await open(t, server, "rules");
  await shows(page, ".code", '{ "rules": true }');
  await go(page, "logic");
  await shows(page, ".code", '{ "procedures": true }');
  await go(page, "logic/views");
  await shows(page, ".code", '{ "logic": true }');
  await go(page, "audit");
  await shows(page, ".code", '{ "audit": true }');
  await go(page, "people");
  await shows(page, ".code", "noexd --auth");
});
