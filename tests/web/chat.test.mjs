// examples/chat, with two people and a restart of the server in the middle.
import assert from "node:assert/strict";
import { test } from "node:test";
import { file, launch, page as makePage, skip } from "./chromium.mjs";
import { HERE, serve, until } from "./rig.mjs";

test("two people talk in a room that only members read, over a restart", { skip }, async () => {
  const config = JSON.parse(await file("examples/chat/noexd.json"));
  config.auth.adminSecret = "the secret of this test";
  const server = await serve({ ...config, dataDir: HERE });
  const site = await makePage(await file("examples/chat/index.html"));
  const browser = await launch();
  const failures = [];
  const signUp = async (name) => {
    const page = await (await browser.newContext()).newPage();
    page.on("pageerror", (error) => failures.push(error));
    await page.goto(`${site.origin}/?server=${server.http}`);
    await page.fill("#name", name);
    await page.fill("#password", `${name} has a password`);
    await page.click("#signup");
    await page.waitForSelector("#in", { state: "visible" });
    return page;
  };
  const said = (page) => page.$$eval("#messages li", (items) => items.map((item) => `${item.firstChild.textContent}: ${item.childNodes[1].textContent}`).join(" | "));
  const shows = (page, wanted) => until(`the messages are ${wanted}`, async () => (await said(page)) === wanted);
  const say = async (page, text) => {
    await page.fill("#text", text);
    await page.click("#say button");
  };

  const [ada, eve] = [await signUp("Ada"), await signUp("Eve")];
  await ada.fill("#room", "Kilns");
  await ada.click("#open button");
  await ada.waitForSelector("#say", { state: "visible" });
  await say(ada, "who is here?");
  await shows(ada, "Ada: who is here?");
  // She sees that the room is there, and nothing in it.
  await eve.click("#rooms button");
  await eve.waitForSelector("#join", { state: "visible" });
  assert.equal(await said(eve), "");
  await eve.click("#join");
  await shows(eve, "Ada: who is here?");
  await say(eve, "I am");
  for (const page of [ada, eve]) await shows(page, "Ada: who is here? | Eve: I am");

  await server.stop("SIGKILL");
  await until("the page says so", async () => /away/.test(await ada.textContent("#state")));
  await say(ada, "still there?");
  await server.start();
  for (const page of [ada, eve]) await shows(page, "Ada: who is here? | Eve: I am | Ada: still there?");
  // Only what she wrote herself has a button.
  assert.equal(await eve.$$eval("#messages button", (all) => all.length), 1);
  await eve.click("#messages button");
  for (const page of [ada, eve]) await shows(page, "Ada: who is here? | Ada: still there?");
  assert.equal(await ada.textContent("#problem"), "");
  assert.deepEqual(failures, []);
  await browser.close();
  site.end();
  await server.end();
});
