// The console in a real Chromium, against the real binary and its headers: each
// tab shows its source and does its main action, seen by another client.
// Violations of the content security policy, errors of the page and requests
// to other origins fail every test.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { launch, skip } from "../chromium.mjs";
import { HERE, WebSocket, connect, fast, serve, until } from "../rig.mjs";

let browser, server, db;
const parts = Array.from({ length: 300 }, (_, i) => ({ sku: `M${String(i).padStart(3, "0")}`, qty: i % 50, maker: ["acme", "borel"][i % 2] }));

before(async () => {
  if (skip) return;
  browser = await launch();
  server = await serve({ dataDir: HERE, audit: true });
  db = connect(server.url, { WebSocket, queue: false, ...fast });
  await db.ready;
  await db.store.defineBucket({ name: "parts", config: { key: "sku", schema: { sku: { type: "string" }, qty: { type: "number", min: 0 }, maker: { type: "string" } }, indexes: ["maker"] } });
  await db.store.insertMany({ bucket: "parts", data: parts });
  await db.store.defineQuery({ name: "low-stock", config: { bucket: "parts", filter: { qty: { $lt: 5 } }, sort: { qty: "asc" }, limit: 20 } });
  await db.rules.registerRule({ rule: { id: "hot", name: "Hot sensor", priority: 50, enabled: true, trigger: { type: "event", topic: "sensor.reading" }, conditions: [{ source: { type: "event", field: "celsius" }, operator: "gt", value: 70 }], actions: [{ type: "set_fact", key: "alarm", value: true }] } });
  await db.procedures.register({ procedure: { name: "look", input: { n: { type: "number", default: 3 } }, steps: [{ action: "store.count", bucket: "parts", as: "all" }] } });
});
after(async () => {
  await browser?.close();
  await db?.close();
  await server?.end();
});

/** A page at a route; `end` says what went wrong in it. */
async function open(route, { origin = server.http, options } = {}) {
  const context = await browser.newContext({ viewport: { width: 1280, height: 800 }, ...options });
  const page = await context.newPage();
  const wrong = [];
  page.on("pageerror", (error) => wrong.push(error.stack));
  page.on("console", (line) => {
    // A connection that was cut is the browser's own line.
    if (line.type() == "error" && !/WebSocket connection/.test(line.text())) wrong.push(line.text());
  });
  page.on("request", (request) => {
    if (!/^(data|blob):/.test(request.url()) && new URL(request.url()).host != new URL(origin).host) wrong.push(`asked ${request.url()}`);
  });
  page.setDefaultTimeout(15000);
  await page.goto(`${origin}/console/#/${route}`);
  return [page, async () => { await context.close(); assert.deepEqual(wrong, []); }];
}
const shows = (page, selector, wanted) => until(`${selector} shows ${wanted}`, async () => (await page.locator(selector).allInnerTexts()).join("\n").includes(wanted));

test("served: leads to its folder, needs gzip, is told in config.json", { skip }, async () => {
  const moved = await fetch(`${server.http}/console`, { redirect: "manual" });
  assert.deepEqual([moved.status, moved.headers.get("location")], [301, "console/"]);
  const plain = await fetch(`${server.http}/console/`, { headers: { "accept-encoding": "identity" } });
  assert.equal(plain.status, 406);
  const policy = (await fetch(`${server.http}/console/`)).headers.get("content-security-policy");
  assert.match(policy, /default-src 'none'.*trusted-types 'none'/);
  assert.deepEqual(await (await fetch(`${server.http}/console/config.json`)).json(), { path: "../", rpc: null, readOnly: false, auth: "open" });
});

test("Now: figures, and nothing to do", { skip }, async () => {
  const [page, end] = await open("now");
  await shows(page, ".figures", "connections");
  await shows(page, "main", "Nothing needs attention");
  await end();
});

test("Data: another client's write appears, a filter narrows, the grid reaches its end", { skip }, async () => {
  const [page, end] = await open("data");
  await page.click("tbody a:has-text('parts')");
  await shows(page, "header", "300 rows");
  await db.bucket("parts").insert({ sku: "NEW", qty: 7, maker: "zeta" });
  await shows(page, "header", "301 rows");
  await page.click("text=+ Filter");
  await page.selectOption("select[name=field]", "maker");
  await page.fill("input[name=value]", "zeta");
  await page.click("form >> text=Add");
  await shows(page, "[role=grid]", "NEW");
  assert.equal(await page.locator("[role=grid]").getAttribute("aria-rowcount"), "2");
  assert.match(page.url(), /filter=/);
  await db.bucket("parts").update("NEW", { qty: 8 });
  await until("the new value", async () => (await page.locator("[role=row].body").first().innerText()).includes("8"));
  await page.click("text=Clear filter");
  await shows(page, "header", "301 rows");
  await page.locator("[role=gridcell][tabindex='0']").focus();
  await page.keyboard.press("Control+End");
  await shows(page, "[role=grid]", "NEW");
  await until("the last row has the focus", () => page.evaluate(() => document.activeElement?.closest("[aria-rowindex]")?.getAttribute("aria-rowindex") == "302"));
  await db.bucket("parts").delete("NEW");
  await end();
});

test("Data: a conflict is shown field by field, and nothing of the other is lost", { skip }, async () => {
  const [page, end] = await open(`data/parts?filter=${encodeURIComponent('{"sku":"M010"}')}`);
  await page.click("[role=row].body");
  await page.fill("#field-qty", "41");
  await db.bucket("parts").update("M010", { maker: "other" });
  await shows(page, ".fields", "theirs: other");
  await page.click("text=Save");
  await shows(page, "[aria-label=Review]", "Somebody changed this record meanwhile");
  await page.click("text=Save");
  await until("both changes are there", async () => { const row = await db.bucket("parts").get("M010"); return row.qty == 41 && row.maker == "other"; });
  await page.fill("#field-qty", "-1");
  await page.click("text=Save");
  await shows(page, ".fields", "Minimum value is 0");
  await page.click("text=Discard");
  await page.click("text=Delete");
  await until("deleted", async () => (await db.bucket("parts").get("M010")) === null);
  await page.click("text=Undo");
  await until("back", async () => (await db.bucket("parts").get("M010"))?.qty === 41);
  await page.click("[aria-label=Dismiss] >> nth=0");
  await end();
});

test("Data: a server that is killed and comes back loses nothing on the page", { skip }, async () => {
  const [page, end] = await open("data/parts");
  // The number of rows and the rows are two answers.
  await shows(page, "header", "300 rows");
  await until("rows", async () => (await page.locator("[role=row].body").count()) > 5);
  await server.stop("SIGKILL");
  await shows(page, ".strip", "as of");
  assert.ok((await page.locator("[role=row].body").count()) > 5);
  assert.ok(await page.locator("button:has-text('New')").isDisabled());
  await server.start();
  await until("live again", async () => (await page.locator(".strip").count()) == 0);
  await until("the other client is back", () => db.status == "online");
  await db.bucket("parts").insert({ sku: "after", qty: 1, maker: "acme" });
  await shows(page, "header", "301 rows");
  await db.bucket("parts").delete("after");
  await end();
});

test("Live views, Rules, Procedures, Audit, Who is slow show their source", { skip }, async () => {
  const stop = db.live("low-stock").subscribe(() => {});
  const [page, end] = await open("views/low-stock");
  await shows(page, ".drawer", "low-stock");
  await shows(page, ".drawer .json", "M000");
  stop();
  await page.goto(`${server.http}/console/#/rules/facts`);
  await db.rules.emit({ topic: "sensor.reading", data: { celsius: 80 } });
  await shows(page, "table", "alarm");
  await page.goto(`${server.http}/console/#/rules/rules/hot`);
  await page.click("text=Switch off");
  await until("off", async () => !(await db.rules.getRule({ ruleId: "hot" })).enabled);
  await page.goto(`${server.http}/console/#/logic/procedures/look`);
  await page.click(".drawer >> text=Call");
  await page.click("dialog >> text=Call >> nth=-1");
  await shows(page, ".drawer .json >> nth=0", "300");
  await page.goto(`${server.http}/console/#/audit`);
  await shows(page, "table", "rules.disableRule");
  await page.goto(`${server.http}/console/#/slow`);
  const other = connect(server.url, { WebSocket, queue: false, retry: { minMs: 600000, baseMs: 600000, maxMs: 600000 } });
  await other.ready;
  const { rows } = await db.server.top({ sort: "behind", limit: 50 });
  const id = rows.map((row) => row.connectionId).sort((a, b) => +b.slice(5) - +a.slice(5))[0];
  await page.click(`tr:has-text("${id}")`);
  await page.click(".drawer >> text=Disconnect");
  await page.click("dialog >> button:has-text('Disconnect')");
  await until("disconnected", () => other.status != "online");
  await other.close();
  await end();
});

test("Playground runs, the palette leads there, Backups are made and restored", { skip }, async () => {
  const [page, end] = await open("now");
  await shows(page, "main", "Nothing needs attention");
  await page.keyboard.press("Control+k");
  await page.keyboard.type("store.count");
  await page.keyboard.press("Enter");
  await shows(page, "h1", "Playground");
  await until("the bucket is filled in", async () => (await page.inputValue("textarea")).includes("parts"));
  await page.fill("textarea", '{"bucket":"parts"}');
  await page.locator("textarea").press("Control+Enter");
  await shows(page, "main .json", "300");
  await page.goto(`${server.http}/console/#/backups`);
  await page.fill("input[aria-label=Name]", "kept");
  await page.click("text=Back up now");
  await shows(page, "table", "kept");
  await db.bucket("parts").delete("M001");
  await page.click("text=Restore");
  await page.fill("dialog input", "kept");
  await page.click("dialog >> button:has-text('Restore')");
  await until("restored", async () => (await db.bucket("parts").get("M001")) != null);
  await end();
});

test("first run: a sample, and the first record of another program", { skip }, async () => {
  const fresh = await serve({});
  const client = connect(fresh.url, { WebSocket, queue: false });
  const [page, end] = await open("now", { origin: fresh.http });
  await page.click("text=Create a sample");
  await shows(page, "main", "Waiting for your first record");
  await client.bucket("kilns").insert({ heat: 1240 });
  await shows(page, "main", "from commit to screen");
  await end();
  await client.close();
  await fresh.end();
});

test("with users: the login, its error, the lock, tiers, and no token in the page", { skip }, async () => {
  const guarded = await serve({ console: true, auth: { builtIn: true, adminSecret: "0123456789abcdef" } });
  const root = connect(guarded.url, { WebSocket, queue: false, auth: { secret: "0123456789abcdef" } });
  await until("logged in", () => root.user);
  await root.store.defineBucket({ name: "notes", config: { key: "id", schema: { id: { type: "string" } } } });
  const user = await root.identity.createUser({ username: "vera", password: "a long password" });
  await root.identity.assignRole({ userId: user.id, roleName: "reader" });
  const [page, end] = await open("data", { origin: guarded.http });
  await page.fill("input[name=username]", "vera");
  await page.fill("input[name=password]", "wrong");
  await page.click("text=Log in");
  await shows(page, "#why", "Invalid");
  await page.fill("input[name=password]", "a long password");
  await page.click("text=Log in");
  await shows(page, "table", "notes");
  await page.goto(`${guarded.http}/console/#/backups`);
  await shows(page, "main", "needs the tier admin");
  await page.goto(`${guarded.http}/console/#/play?operation=store.insert`);
  await shows(page, "main", "locked: unlock to change");
  await page.click("button.lock");
  await shows(page, "header.top", "unlocked");
  const kept = await page.evaluate(() => JSON.stringify({ ...localStorage, ...sessionStorage }) + location.href + document.documentElement.innerHTML);
  assert.doesNotMatch(kept, /a long password|[0-9a-f]{32}/);
  await end();
  await root.close();
  await guarded.end();
});

test("acting as somebody else: her rights, the time that is left, and oneself again", { skip }, async () => {
  const guarded = await serve({ dataDir: HERE, console: true, audit: true, auth: { builtIn: true, adminSecret: "0123456789abcdef" } });
  const root = connect(guarded.url, { WebSocket, queue: false, auth: { secret: "0123456789abcdef" } });
  await until("logged in", () => root.user);
  const schema = { id: { type: "string" }, for: { type: "string" } };
  const vera = await root.identity.createUser({ username: "vera", password: "a long password" });
  await root.identity.assignRole({ userId: vera.id, roleName: "reader" });
  await root.store.defineBucket({ name: "notes", config: { key: "id", schema, rows: { read: { for: "{{ session.userId }}" } } } });
  await root.store.insertMany({ bucket: "notes", data: [{ id: "hers", for: vera.id }, { id: "not-hers", for: "x" }] });
  const [page, end] = await open("people", { origin: guarded.http });
  await page.click("text=Use the admin secret");
  await page.fill("input[name=password]", "0123456789abcdef");
  await page.click("text=Log in");
  await page.click("text=vera");
  await page.click("text=Act as vera");
  await shows(page, "header.top", "acting as vera");
  await page.evaluate(() => { location.hash = "#/data/notes"; });
  await shows(page, "main", "hers");
  assert.doesNotMatch(await page.textContent("main"), /not-hers/);
  await page.click("header.top >> text=End");
  await shows(page, "main", "not-hers");
  assert.doesNotMatch(await page.textContent("header.top"), /acting/);
  const kept = await page.evaluate(() => JSON.stringify({ ...localStorage, ...sessionStorage }) + location.href);
  assert.doesNotMatch(kept, /0123456789abcdef|[0-9a-f]{32}/);
  await end();
  await root.close();
  await guarded.end();
});

test("read-only: the lock cannot be opened", { skip }, async () => {
  const still = await serve({ console: { readOnly: true } });
  const [page, end] = await open("now", { origin: still.http });
  await shows(page, "header.top", "locked");
  assert.ok(await page.locator("button.lock").isDisabled());
  assert.ok(await page.locator("text=Create a sample").isDisabled());
  await end();
  await still.end();
});
