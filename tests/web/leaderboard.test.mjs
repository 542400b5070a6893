// examples/leaderboard, played by two, with a restart of the server in the middle.
import assert from "node:assert/strict";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { file, launch, page as makePage, skip } from "./chromium.mjs";
import { serve, until } from "./rig.mjs";

test("two play, the server restarts in the middle, every point counts", { skip }, async () => {
  const dir = await mkdtemp(join(tmpdir(), "noexd-board-"));
  const server = await serve({ ...JSON.parse(await file("examples/leaderboard/noexd.json")), dataDir: dir });
  const site = await makePage(await file("examples/leaderboard/index.html"));
  const browser = await launch();
  const failures = [];
  const play = async (name) => {
    const page = await (await browser.newContext()).newPage();
    page.on("pageerror", (error) => failures.push(error));
    await page.goto(`${site.origin}/?server=${server.http}`);
    await page.fill("#name", name);
    await page.click("#join button");
    return page;
  };
  const board = (page) => page.$$eval("#top li", (items) => items.map((item) => item.textContent).join(" "));
  const shows = (page, wanted) => until(`the board shows ${wanted}`, async () => (await board(page)) === wanted);

  const [ada, bob] = [await play("Ada"), await play("Bob")];
  await until("both are there", async () => (await board(ada)).split(" ").length === 2);
  for (let i = 0; i < 3; i++) await ada.click("#point");
  await bob.click("#point");
  for (const page of [ada, bob]) await shows(page, "Ada3 Bob1");
  await server.stop();
  await until("the page says so", async () => /away/.test(await ada.textContent("#state")));
  for (let i = 0; i < 4; i++) await bob.click("#point");
  await shows(bob, "Bob5 Ada3");
  await shows(ada, "Ada3 Bob1");
  await server.start();
  for (const page of [ada, bob]) await shows(page, "Bob5 Ada3");
  await until("live", async () => (await ada.textContent("#state")) === "live");
  assert.equal(await bob.textContent("#problem"), "");
  assert.deepEqual(failures, []);
  await browser.close();
  site.end();
  await server.end();
  await rm(dir, { recursive: true, force: true });
});
