// The server is killed and comes back in the middle of each tab: what was shown
// stays and says as of when, what writes is off, and then it is live again.
import assert from "node:assert/strict";
import { test } from "node:test";
import { skip } from "../chromium.mjs";
import { go, loginAsAdmin, open, shows, texts, unlock, until } from "./rig.mjs";
import { TABS, seeded } from "./seed.mjs";

for (const [who, config] of [["on an open server", { auth: undefined }], ["logged in", {}]]) {
  test(`killed and back in the middle of each tab, ${who}`, { skip }, async (t) => {
    const { server } = await seeded(t, config);
    // A file that the killed server did not send is the browser's own line.
    const page = await open(t, server, "now", { expected: /net::ERR_(CONNECTION_(RESET|REFUSED)|EMPTY_RESPONSE)/ });
    if (who == "logged in") {
      await loginAsAdmin(page);
      await unlock(page);
    }
    // Half of them logged in, the others not.
    const tabs = Object.entries(TABS).filter(([name]) => (who == "logged in" ? /people|may|audit|backups|slow/ : /now|data|views|rules|facts|logic|play/).test(name));
    for (const [name, [route, selector, first]] of tabs) {
      // The log of this server is in memory.
      const wanted = name == "audit" ? "success" : first;
      await go(page, route);
      await shows(page, selector, wanted);
      await server.stop("SIGKILL");
      await shows(page, ".strip", "as of");
      assert.match(await texts(page, selector), new RegExp(wanted), `${name} keeps what it showed`);
      for (const write of ["New", "New rule", "New user", "Define a query", "Back up now", "Save", "Register"]) {
        for (const button of await page.locator(`button:text-is('${write}')`).all()) assert.ok(await button.isDisabled(), `${name}: ${write} is on`);
      }
      await server.start();
      // Who was away several times waits longer each time, but for this.
      await until(`${name} is live again`, async () => { await page.evaluate(() => dispatchEvent(new Event("online"))); return (await page.locator(".strip").count()) == 0; });
      assert.equal(await page.locator(".login").count(), 0, `${name}: still logged in`);
      await shows(page, selector, wanted);
    }
  });
}
