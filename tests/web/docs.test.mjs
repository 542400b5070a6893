// What README and docs/javascript.md ask a newcomer to paste works, twice.
import assert from "node:assert/strict";
import { test } from "node:test";
import { file, launch, page as makePage, skip } from "./chromium.mjs";
import { serve, until } from "./rig.mjs";

const blocks = (text, language) => text.split("```" + language + "\n").slice(1).map((part) => part.split("```")[0]);
const kilns = { kilns: { key: "id", schema: { id: { type: "string", generated: "uuid" }, heat: { type: "number" } } } };

async function paste(config, run) {
  const server = await serve(config);
  const browser = await launch();
  const here = (text) => text.replaceAll("http://127.0.0.1:8080", server.http);
  await run(browser, here, server);
  await browser.close();
  await server.end();
}

test("README: the client in a console", { skip }, () => paste({}, async (browser, here) => {
  const [code] = blocks(await file("README.md"), "javascript");
  const site = await makePage();
  const page = await browser.newPage();
  await page.goto(site.origin);
  const lines = [];
  page.on("console", (line) => lines.push(line.text()));
  for (const count of [1, 2]) {
    await page.evaluate((text) => new (Object.getPrototypeOf(async () => {}).constructor)(text)(), here(code));
    await until("printed", () => lines.some((line) => line.split("1300").length - 1 === count));
  }
  site.end();
}));

test("docs/javascript.md: the first page", { skip }, () => paste({ buckets: kilns }, async (browser, here) => {
  const [html] = blocks(await file("docs/javascript.md"), "html");
  const site = await makePage(`<!doctype html>${here(html)}`);
  const page = await browser.newPage();
  const failures = [];
  page.on("pageerror", (error) => failures.push(error));
  for (const count of [1, 2]) {
    const shown = page.waitForEvent("console", { predicate: (line) => /^live/.test(line.text()) && line.args().length === 2 });
    await page.goto(site.origin);
    await shown;
    await until("inserted", () => page.evaluate(async (url) => (await (await import(url)).connect().bucket("kilns").count()), here("http://127.0.0.1:8080/client.js")).then((n) => n === count));
  }
  assert.deepEqual(failures, []);
  site.end();
}));

test("docs/javascript.md: what is imported is there, and every option is a known one", async () => {
  const text = await file("docs/javascript.md");
  const types = await file("src/web/client/noexd.d.ts");
  for (const [, name] of text.matchAll(/client\/(\w+\.js)/g)) await file(`src/web/client/${name}`);
  const options = types.split("export interface Options {")[1].split("\n}")[0];
  for (const [, name] of options.matchAll(/^ {2}(\w+)\?:/gm)) assert.ok(text.includes(`\`${name}\``), `docs/javascript.md has no ${name}`);
});
