// How it looks and is reached: axe-core finds nothing on any tab in either theme,
// nothing sticks out sideways at any width, everything can be done with the
// keyboard, and who wants no motion sees none.
import assert from "node:assert/strict";
import { createRequire } from "node:module";
import { readFile } from "node:fs/promises";
import { test } from "node:test";
import { skip } from "../chromium.mjs";
import { crooked } from "./pictures.mjs";
import { PASSWORD, SECRET, auth, go, loginAsAdmin, open, shows, start, texts, unlock, until } from "./rig.mjs";
import { TABS, seeded } from "./seed.mjs";

const axe = skip ? "" : await readFile(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
/** What axe-core says against the page, as lines. */
async function violations(page) {
  const found = await page.evaluate(async () => (await globalThis.axe.run(document, { resultTypes: ["violations"] })).violations.map((one) => `${one.id}: ${one.help}: ${one.nodes.map((node) => `${node.target} ${node.any?.[0]?.message ?? ""}`).join(" | ")}`));
  return found;
}
for (const [theme, size] of [["light", { width: 1280, height: 800 }], ["dark", { width: 1280, height: 800 }], ["light", { width: 390, height: 844 }], ["dark", { width: 390, height: 844 }]]) {
  test(`every tab, ${theme}, ${size.width} wide: axe-core finds nothing, nothing sticks out`, { skip }, async (t) => {
    const { server } = await seeded(t);
    const page = await open(t, server, "now", { viewport: size, colorScheme: theme, bypassCSP: true, reducedMotion: "reduce" });
    await loginAsAdmin(page);
    await unlock(page);
    await page.addScriptTag({ content: axe });
    const wrong = [];
    const look = async (name) => {
      for (const one of await violations(page)) wrong.push(`${name}: ${one}`);
      for (const one of await crooked(page)) wrong.push(`${name}: ${one}`);
      if (process.env.NOEXD_SHOTS) await page.screenshot({ path: `${process.env.NOEXD_SHOTS}/${name}-${theme}-${size.width}.png` });
    };
    for (const [name, [route, selector, wanted]] of Object.entries(TABS)) {
      await go(page, route);
      await shows(page, selector, wanted);
      await look(name);
      await page.evaluate(() => document.querySelector(".drawer [aria-label=Close]")?.click());
    }
    await page.keyboard.press("Control+k");
    await shows(page, "#found", "Now");
    await look("palette");
    await page.keyboard.press("Escape");
    assert.deepEqual(wrong, []);
  });
}

/** Goes on with Tab until what has the focus is what is wanted; the focus is never lost. */
async function tabTo(page, wanted, most = 60) {
  for (let i = 0; i < most; i++) {
    const [found, where] = await page.evaluate((selector) => [!!document.activeElement?.matches(selector), document.activeElement?.tagName], wanted);
    if (found) return;
    assert.notEqual(where, null);
    await page.keyboard.press("Tab");
  }
  assert.fail(`no way with Tab to ${wanted}; at ${await page.evaluate(() => document.activeElement?.outerHTML.slice(0, 120))}`);
}
const focused = (page) => page.evaluate(() => document.activeElement && document.activeElement != document.body ? `${document.activeElement.tagName}.${document.activeElement.className}` : null);
/** What the next key is for: while a drawer is there, a letter may be typed into it. */
const closed = (page) => until("the drawer is closed", async () => !(await page.locator(".drawer").count()));
const keepsFocus = (page, when) => until(`something has the focus ${when}`, () => focused(page));

test("with the keyboard alone: a record is found, changed, deleted; the focus is never lost", { skip }, async (t) => {
  const { server, db } = await seeded(t, { auth: undefined });
  const page = await open(t, server, "data");
  await shows(page, "table", "parts");
  await tabTo(page, "tbody tr");
  await page.keyboard.press("ArrowDown");
  await page.keyboard.press("Enter");
  await shows(page, "[role=grid]", "M4-20");
  await keepsFocus(page, "in the bucket");
  await page.keyboard.press("/");
  await page.keyboard.press("Enter");
  await page.keyboard.type("sku");
  await page.keyboard.press("Tab");
  await page.keyboard.press("Tab");
  await page.keyboard.type("M4-20");
  await page.keyboard.press("Enter");
  await shows(page, ".tab > header", "1 row");
  await shows(page, "[role=grid]", "M4-20");
  await keepsFocus(page, "behind the filter");
  await tabTo(page, "[role=gridcell]");
  await page.keyboard.press("ArrowRight");
  await page.keyboard.press("ArrowRight");
  await page.keyboard.press("F2");
  await until("the field has the focus", () => page.evaluate(() => document.activeElement?.id == "field-qty"));
  await page.keyboard.press("Control+a");
  await page.keyboard.type("77");
  await page.keyboard.press("Control+Enter");
  await until("saved", async () => (await db.bucket("parts").get("M4-20")).qty == 77);
  await keepsFocus(page, "behind saving");
  await page.keyboard.press("Escape");
  await until("back in the grid", () => page.evaluate(() => document.activeElement?.getAttribute("role") == "gridcell"));
  await page.keyboard.press("Delete");
  await until("deleted", async () => (await db.bucket("parts").get("M4-20")) == null);
  await keepsFocus(page, "behind deleting");
});

test("with the keyboard alone: each other tab is reached and does its work", { skip }, async (t) => {
  const { server, db } = await seeded(t, { auth: undefined });
  const page = await open(t, server, "now");
  await shows(page, ".figures", "connections");
  const to = async (key, title) => { await page.keyboard.press("g"); await page.keyboard.press(key); await shows(page, "h1", title); await keepsFocus(page, title); };
  await tabTo(page, "nav.rail a");
  await to("r", "Rules");
  await shows(page, "table", "hot-kiln");
  await tabTo(page, "tbody tr");
  await page.keyboard.press("Enter");
  await shows(page, ".drawer", "Trace");
  await tabTo(page, ".drawer textarea");
  await page.keyboard.press("Control+Enter");
  await shows(page, ".notes", "The rule is saved");
  await keepsFocus(page, "behind saving");
  await page.keyboard.press("Escape");
  await closed(page);
  await to("v", "Live views");
  await shows(page, "table", "low-stock");
  await tabTo(page, "tbody tr");
  await page.keyboard.press("Enter");
  await shows(page, ".drawer", "Result");
  await page.keyboard.press("Escape");
  await keepsFocus(page, "behind the view");
  await to("w", "Who is slow");
  await shows(page, "table", "conn-");
  await tabTo(page, "tbody tr");
  await page.keyboard.press("t");
  await shows(page, ".drawer", "TRACE");
  await page.keyboard.press("Escape");
  await closed(page);
  await to("p", "Procedures & logic");
  await shows(page, "table", "take-stock");
  await tabTo(page, "tbody tr");
  await page.keyboard.press("ArrowDown");
  await page.keyboard.press("Enter");
  await tabTo(page, ".drawer button.primary");
  await page.keyboard.press("Enter");
  await shows(page, "dialog", "may change data");
  await tabTo(page, "dialog button.danger");
  await page.keyboard.press("Enter");
  await until("called", async () => /ms/.test(await texts(page, ".drawer .bar")));
  await keepsFocus(page, "behind the call");
  await page.keyboard.press("Escape");
  await closed(page);
  await to("a", "Audit");
  await shows(page, "table", "rules.registerRule");
  await tabTo(page, "tbody tr");
  await page.keyboard.press("Enter");
  await shows(page, ".drawer .json", "remoteAddress");
  await page.keyboard.press("Escape");
  await closed(page);
  await to("y", "Playground");
  await tabTo(page, "input[list]");
  await page.keyboard.press("Control+a");
  await page.keyboard.type("store.stats");
  await tabTo(page, "textarea");
  await page.keyboard.press("Control+Enter");
  await shows(page, ".panel", "answer");
  await page.keyboard.press("Control+k");
  await page.keyboard.type("tab backups");
  await page.keyboard.press("Enter");
  await shows(page, "h1", "Backups");
  await shows(page, "table", "before-migration");
  await tabTo(page, "input[aria-label=Name]");
  await page.keyboard.type("by-hand");
  await page.keyboard.press("Enter");
  await shows(page, "table", "by-hand");
  await keepsFocus(page, "behind the backup");
  assert.ok((await db.store.backups()).some((one) => one.name == "by-hand"));
});

test("with the keyboard alone: the first run, and a cure applied", { skip }, async (t) => {
  const { server, db } = await start(t);
  const page = await open(t, server, "data");
  await shows(page, "main", "No bucket yet");
  await tabTo(page, "nav.rail a");
  await page.keyboard.press("g");
  await page.keyboard.press("n");
  await shows(page, "main", "Start here");
  await tabTo(page, "main button.primary");
  await page.keyboard.press("Enter");
  await shows(page, "main", "Waiting for your first record");
  await keepsFocus(page, "behind the sample");
  await tabTo(page, "main .code button");
  await db.bucket("kilns").insert({ heat: 1240 });
  await shows(page, "main", "from commit to screen");
  await keepsFocus(page, "when the record comes");
  await page.keyboard.press("Shift+Tab");
  // A scan that wastes, seen and mended.
  await db.store.defineBucket({ name: "parts", config: { key: "sku", schema: { sku: { type: "string" }, maker: { type: "string" } } } });
  for (let i = 0; i < 20; i++) await db.store.insertMany({ bucket: "parts", data: Array.from({ length: 500 }, (_, n) => ({ sku: `${i}-${n}`, maker: `m${n}` })), answer: "counts" });
  await until("the server tells of a scan", async () => { await db.bucket("parts").count({ maker: "m1" }); return (await db.server.insights()).insights.some((one) => one.kind == "scan"); });
  await shows(page, "[aria-label=Attention]", "Apply…");
  await tabTo(page, ".insight button:nth-of-type(3)");
  await page.keyboard.press("Enter");
  await shows(page, "dialog .json", "addIndexes");
  await tabTo(page, "dialog button.danger");
  await page.keyboard.press("Enter");
  await until("there is an index", async () => (await db.store.getBucketSchema({ name: "parts" })).config.indexes?.includes("maker"));
  await keepsFocus(page, "behind the cure");
});

test("with the keyboard alone: log in, sign somebody up, give a role, ask what he may, and out again", { skip }, async (t) => {
  const { server, db } = await start(t, { console: true, audit: true, auth });
  await db.store.defineBucket({ name: "parts", config: { key: "id", schema: { id: { type: "string" } } } });
  const page = await open(t, server, "now");
  await page.waitForSelector("input[name=username]");
  await tabTo(page, "form button.plain");
  await page.keyboard.press("Enter");
  await until("the secret is asked for", () => page.evaluate(() => document.activeElement?.name == "password"));
  await page.keyboard.type(SECRET);
  await page.keyboard.press("Enter");
  await page.waitForSelector(".shell");
  await tabTo(page, "button.lock");
  await page.keyboard.press("Enter");
  await shows(page, "header.top", "unlocked");
  await page.keyboard.press("g");
  await page.keyboard.press("u");
  await shows(page, "main", "No user yet");
  await tabTo(page, "main button.primary");
  await page.keyboard.press("Enter");
  await tabTo(page, ".drawer input[name=username]");
  await page.keyboard.type("mira");
  await page.keyboard.press("Tab");
  await page.keyboard.type(PASSWORD);
  await page.keyboard.press("Enter");
  await shows(page, "table", "mira");
  await keepsFocus(page, "behind signing up");
  await tabTo(page, "tbody tr");
  await page.keyboard.press("Enter");
  await shows(page, ".drawer h2", "mira");
  await shows(page, ".drawer select", "reader");
  await tabTo(page, "[aria-label='Give a role']");
  await page.keyboard.type("reader");
  await shows(page, ".drawer .chip", "reader");
  await keepsFocus(page, "behind giving the role");
  await page.keyboard.press("Escape");
  await closed(page);
  await keepsFocus(page, "behind the drawer");
  const { users: [{ id }] } = await db.identity.listUsers();
  await tabTo(page, ".tabs button:nth-last-child(2)");
  await page.keyboard.press("Enter");
  await tabTo(page, "input[name=who]");
  await page.keyboard.type(id);
  await page.keyboard.press("Tab");
  await page.keyboard.type("store.insert");
  await page.keyboard.press("Tab");
  await page.keyboard.type("parts");
  await page.keyboard.press("Enter");
  await shows(page, "[role=status].panel", "No");
  await keepsFocus(page, "behind asking");
  await tabTo(page, "header .menu summary");
  await page.keyboard.press("Enter");
  await tabTo(page, ".menu button:last-child");
  await page.keyboard.press("Enter");
  await shows(page, ".login", "You logged out");
  await until("the login has the focus", () => page.evaluate(() => document.activeElement?.name == "username"));
});

test("no motion for who wants none; the grid tells where one is", { skip }, async (t) => {
  const { server, db } = await start(t);
  await db.store.defineBucket({ name: "parts", config: { key: "sku", schema: { sku: { type: "string" }, qty: { type: "number" } } } });
  await db.store.insertMany({ bucket: "parts", data: [{ sku: "M1", qty: 1 }, { sku: "M2", qty: 2 }] });
  const page = await open(t, server, "data/parts", { reducedMotion: "reduce" });
  await shows(page, "[role=grid]", "M2");
  assert.deepEqual(await page.locator("[role=grid]").evaluate((grid) => [grid.getAttribute("aria-rowcount"), grid.getAttribute("aria-colcount"), grid.querySelectorAll("[role=row][aria-rowindex='3']").length]), ["3", "4", 1]);
  await db.bucket("parts").update("M1", { qty: 5 });
  const flashed = page.locator(".flash").first();
  await flashed.waitFor();
  assert.deepEqual(await flashed.evaluate((node) => [getComputedStyle(node).animationName, getComputedStyle(node).animationDuration]), ["dot", "2s"]);
});
