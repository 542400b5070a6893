// Pages of the console in a real Chromium, against the real binary. What goes
// wrong in a page without being asked for (an error, a violation of the content
// security policy, a request to another origin) fails the test that opened it.
import assert from "node:assert/strict";
import { after } from "node:test";
import { fromSources, launch } from "../chromium.mjs";
import { HERE, WebSocket, connect, fast, serve, until as within } from "../rig.mjs";

export { HERE, WebSocket, connect, fast, serve };
/** A browser beside seven other tests on two cores is slow: only a failure reaches this limit. */
const MOST_MS = 30000;
export const until = (what, test) => within(what, test, MOST_MS);
export const SECRET = "0123456789abcdef";

/** What a test opened ends with it, the last first: no page outlives its server. */
const opened = new WeakMap();
function ends(t, end) {
  if (!opened.has(t)) {
    const all = [];
    opened.set(t, all);
    t.after(async () => {
      const wrong = [];
      while (all.length) await all.pop()().catch((error) => wrong.push(error));
      if (wrong.length) throw wrong[0];
    });
  }
  opened.get(t).push(async () => end());
}

let browser;
after(async () => (await browser)?.close());

/** A server and a client of it that both end with the test `t`. */
export async function start(t, config = {}) {
  const server = await serve(config);
  ends(t, () => server.end());
  return { ...server, server, db: await client(t, server, config.auth?.builtIn ? { auth: { secret: SECRET } } : {}) };
}
export async function client(t, server, options = {}) {
  const db = connect(server.url, { WebSocket, queue: false, ...fast, ...options });
  ends(t, () => db.close());
  await until("a client is connected", () => db.status == "online" && (!options.auth || db.user));
  return db;
}
/** Users of each tier, as a superadmin makes them. */
export const auth = { builtIn: true, adminSecret: SECRET };
export const PASSWORD = "a long password";
export async function people(db, names) {
  const ids = {};
  for (const [username, role] of Object.entries(names)) {
    const user = await db.identity.createUser({ username, password: PASSWORD });
    if (role) await db.identity.assignRole({ userId: user.id, roleName: role });
    ids[username] = user.id;
  }
  return ids;
}

/**
 * A page at a route. With the test `t` it ends and says what went wrong in it;
 * `expected` are lines of the browser's own that a test provokes, `prepare` is
 * done before the page is loaded.
 */
export async function open(t, server, route, { expected, prepare, ...options } = {}) {
  const origin = server.http;
  browser ??= launch();
  const context = await (await browser).newContext({ viewport: { width: 1280, height: 800 }, ...options });
  const page = await context.newPage();
  const wrong = [];
  page.on("pageerror", (error) => wrong.push(error.stack));
  page.on("console", (line) => {
    // A connection that was cut is the browser's own line.
    if (line.type() == "error" && !/WebSocket connection/.test(line.text()) && !expected?.test(line.text())) wrong.push(line.text());
  });
  page.on("request", (request) => {
    if (!/^(data|blob):/.test(request.url()) && new URL(request.url()).host != new URL(origin).host) wrong.push(`asked ${request.url()}`);
  });
  await context.addInitScript(() => {
    addEventListener("securitypolicyviolation", (event) => console.error(`policy: ${event.violatedDirective} ${event.blockedURI}`));
  });
  await fromSources(context, origin);
  page.setDefaultTimeout(MOST_MS);
  await prepare?.(page);
  ends(t, async () => {
    // What it looked like when its test was over, for whoever mends one.
    if (process.env.NOEXD_SHOTS) await page.screenshot({ path: `${process.env.NOEXD_SHOTS}/${t.name.replace(/\W+/g, "-").slice(0, 60)}.png` }).catch(() => {});
    await context.close();
    assert.deepEqual(wrong, []);
  });
  await page.goto(`${origin}/console/#/${route}`);
  return page;
}
/** As `prepare`: requests of these types are answered with an error instead of by the server. `wrong` may change. */
export const answering = (wrong) => (page) => page.routeWebSocket(/./, (socket) => {
  const up = socket.connectToServer();
  socket.onMessage((line) => {
    const { id, type } = JSON.parse(line);
    if (wrong[type]) socket.send(JSON.stringify({ id, type: "error", ...wrong[type] }));
    else up.send(line);
  });
});
/** As `prepare`: a server whose writes take no `expect`, as the published protocol has them. */
export const withoutExpect = (http) => async (page) => {
  const answer = await fetch(`${http}/console/ops.json`);
  const body = (await answer.text()).replaceAll(/ expect\b/g, "");
  await page.route("**/ops.json", (route) => route.fulfill({ body, contentType: "application/json" }));
};
/** To another route, in the same page. */
export const go = (page, route) => page.evaluate((to) => { location.hash = `#/${to}`; }, route);
/** The playground with an operation chosen: the address of a page changes later than it is set. */
export async function play(page, operation) {
  await go(page, `play?operation=${operation}`);
  await until(`${operation} is chosen`, () => page.evaluate((name) => document.querySelector("main input[list]")?.value == name, operation));
}
export const texts = async (page, selector) => (await page.locator(selector).allInnerTexts()).join("\n");
export const shows = (page, selector, wanted) => until(`${selector} shows ${wanted}`, async () => { const all = await texts(page, selector); return wanted instanceof RegExp ? wanted.test(all) : all.includes(wanted); });
export const hides = (page, selector, wanted) => until(`${selector} does not show ${wanted}`, async () => !(await texts(page, selector)).includes(wanted));
export async function login(page, username, password = PASSWORD) {
  await page.fill("input[name=username]", username);
  await page.fill("input[name=password]", password);
  await page.click("button:has-text('Log in')");
  await page.waitForSelector(".shell");
}
export async function loginAsAdmin(page) {
  await page.click("text=Use the admin secret");
  await page.fill("input[name=password]", SECRET);
  await page.click("button:has-text('Log in')");
  await page.waitForSelector(".shell");
}
export async function unlock(page) {
  await page.click("button.lock");
  await shows(page, "header.top", "unlocked");
}
