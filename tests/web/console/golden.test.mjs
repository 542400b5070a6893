// Each tab as it looks, in both themes, wide and narrow, beside a picture that
// somebody has looked at. Made with another browser or other fonts a picture
// proves nothing: then only its structure is checked, as it always is.
//
//   NOEXD_BLESS=1 node --test tests/web/console/golden.test.mjs
//
// makes the pictures anew, and those of docs/console.
import assert from "node:assert/strict";
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { test } from "node:test";
import { launch, skip } from "../chromium.mjs";
import { crooked, difference, madeWith, small } from "./pictures.mjs";
import { goesOn, plausible } from "./plausible.mjs";
import { go, loginAsAdmin, open, shows, texts, unlock, until } from "./rig.mjs";
import { TABS, seeded } from "./seed.mjs";

const folder = new URL("golden/", import.meta.url);
const isBlessed = !!process.env.NOEXD_BLESS;
/** Of the pixels. */
const MOST = 0.001;
/** Those that the docs show. */
const DOCS = { "data-dark-1280": "data-dark", "rules-light-1280": "rules", "buckets-light-390": null, "records-light-390": "data-narrow", "now-light-1280": "now", "slow-dark-1280": "slow" };
/** Beside the tabs: what they open. */
const MORE = {
  records: ["data/parts", "[role=grid]", "M5-21"], schema: ["data/parts", "[role=grid]", "M5-21", async (page) => { await page.click("button:text-is('Schema')"); await shows(page, ".drawer", "Begin with"); await shows(page, ".drawer", "240 records"); }],
  conflict: ["data/parts?key=%22M4-20%22", ".drawer", "version", async (page, db) => {
    await page.fill("#field-qty", "12");
    await db.bucket("parts").update("M4-20", { qty: 10, maker: "borel" });
    await shows(page, ".fields", "theirs: borel");
    await page.click(".drawer >> button:text-is('Save')");
    await shows(page, "[aria-label=Review]", "choose the rest");
  }],
  trace: ["rules/rules/hot-kiln", ".drawer", "hot-kiln", async (page, db) => {
    await page.click(".drawer >> button:text-is('Trace')");
    await shows(page, ".drawer", "TRACE");
    for (const celsius of [1240, 1318]) await db.rules.emit({ topic: "kiln.reading", data: { kiln: 2, celsius } });
    await shows(page, "[role=log]", "fired");
  }],
  answer: ["play?operation=store.count", "main", "Copy as", async (page) => {
    await until("the bucket is filled in", async () => (await page.inputValue("textarea")).includes("makers"));
    await page.fill("textarea", '{"bucket":"makers","filter":{"town":"Oslo"}}');
    await page.locator("textarea").press("Control+Enter");
    await shows(page, ".panel .json", "1");
  }],
  help: ["backups", "table", "before-migration", async (page) => { await page.keyboard.press("?"); await shows(page, "dialog", "Ctrl Enter"); }],
};

async function picture(page, name, studio, wrong, t) {
  for (const one of await crooked(page)) wrong.push(`${name}: ${one}`);
  const taken = await page.screenshot({ animations: "disabled" });
  const file = new URL(`${name}.png`, folder);
  if (process.env.NOEXD_SHOTS) await writeFile(`${process.env.NOEXD_SHOTS}/golden-${name}.png`, taken);
  if (isBlessed) {
    const bytes = await small(studio.page, taken);
    await writeFile(file, bytes);
    if (DOCS[name]) await writeFile(new URL(`../../../docs/console/${DOCS[name]}.png`, import.meta.url), bytes);
  } else if (studio.isSame) {
    const other = await difference(studio.page, taken, await readFile(file));
    if (other > MOST) wrong.push(`${name}: ${(other * 100).toFixed(2)} % of the picture is another one; look at it, then NOEXD_BLESS=1`);
  }
}

/** Where pictures are compared, and whether they can be. */
async function opened(t) {
  const browser = await launch();
  t.after(() => browser.close());
  const now = madeWith(browser.version());
  const made = new URL("made-with.json", folder);
  if (isBlessed) await mkdir(folder, { recursive: true }), await writeFile(made, JSON.stringify(now) + "\n");
  const isSame = (await readFile(made, "utf8")).trim() == JSON.stringify(now);
  if (!isSame) t.diagnostic(`made with others than ${JSON.stringify(now)}: only the structure is checked`);
  return { page: await browser.newPage(), isSame };
}

for (const [theme, size] of [["light", { width: 1280, height: 800 }], ["dark", { width: 1280, height: 800 }], ["light", { width: 390, height: 844 }], ["dark", { width: 390, height: 844 }]]) {
  test(`every tab looks as it did, ${theme}, ${size.width} wide`, { skip }, async (t) => {
    const studio = await opened(t);
    const { server, db, ids } = await seeded(t, { name: "orders-eu" });
    const page = await open(t, server, "now", { viewport: size, colorScheme: theme, reducedMotion: "reduce", timezoneId: "UTC", locale: "en-GB", prepare: plausible(ids) });
    const wrong = [];
    const take = (name) => picture(page, `${name}-${theme}-${size.width}`, studio, wrong, t);
    await page.waitForSelector("input[name=username]");
    await take("login");
    await loginAsAdmin(page);
    await unlock(page);
    await shows(page, ".figures", "connections");
    // A quarter of an hour, so that there are curves.
    for (let at = 1; at <= 40; at++) {
      const before = await texts(page, ".figures");
      await goesOn(page, 5000);
      await until("the figures go on", async () => (await texts(page, ".figures")) != before);
    }
    await shows(page, "header.top", "commit 48,211".slice(0, size.width > 600 ? undefined : 0));
    await shows(page, "nav.rail", size.width > 900 ? "▲ 1" : "");
    for (const [name, [route, selector, wanted, more]] of Object.entries({ ...TABS, ...MORE })) {
      await go(page, route);
      await shows(page, selector, wanted);
      await more?.(page, db);
      await page.mouse.move(0, 0);
      await page.evaluate(() => document.activeElement?.blur());
      await settled(page);
      await take(name);
      await page.keyboard.press("Escape");
      await page.evaluate(() => document.querySelector(".drawer [aria-label=Close]")?.click());
    }
    assert.deepEqual(wrong, []);
  });
}

/** Nothing more is asked and nothing more is drawn: two looks at the page are one. */
async function settled(page) {
  await page.waitForFunction(() => document.fonts.status == "loaded");
  let [before, same] = ["", 0];
  await until("the page stands still", async () => {
    const now = await page.evaluate(() => new Promise((resolve) => requestAnimationFrame(() => requestAnimationFrame(() => resolve(document.getElementById("app").innerHTML)))));
    same = now == before ? same + 1 : 0;
    before = now;
    return same > 8;
  });
}

test("what is planted is found: moved by some pixels, another colour, something over something else", { skip }, async (t) => {
  const studio = await opened(t);
  const { server } = await seeded(t, { auth: undefined });
  const page = await open(t, server, "data/parts?key=%22M4-20%22", { reducedMotion: "reduce", prepare: plausible({}) });
  await shows(page, ".drawer", "version");
  await shows(page, "[role=grid]", "M5-21");
  await settled(page);
  const whole = await page.screenshot({ animations: "disabled" });
  assert.equal(await difference(studio.page, whole, whole), 0);
  assert.ok((await difference(studio.page, whole, await small(studio.page, whole))) < MOST / 2, "its small form is another picture");
  assert.deepEqual(await crooked(page), []);
  const planted = async (rule) => {
    await page.evaluate((text) => document.styleSheets[0].insertRule(text, document.styleSheets[0].cssRules.length), rule);
    const [other, lines] = [await difference(studio.page, whole, await page.screenshot({ animations: "disabled" })), await crooked(page)];
    await page.evaluate(() => document.styleSheets[0].deleteRule(document.styleSheets[0].cssRules.length - 1));
    return { other, lines };
  };
  for (const rule of [".tab { padding-left: 20px !important; }", ":root { --accent: #b8400a !important; }", ".drawer { width: 372px !important; }", "body { font-size: 15px !important; }"]) {
    const { other } = await planted(rule);
    assert.ok(other > MOST, `${rule}: ${other}`);
  }
  const over = await planted(".drawer .fields { gap: 0 !important; grid-auto-rows: 18px; }");
  assert.match(over.lines.join("\n"), /lies over/);
  const cut = await planted(".tab > .bar { height: 12px; overflow: hidden; }");
  assert.match(cut.lines.join("\n"), /is cut/);
  const out = await planted(".drawer { margin-right: -40px !important; }");
  assert.match(out.lines.join("\n"), /lies at/);
});
