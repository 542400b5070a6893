// What leaves the page, and where it leads: each insight to its subject, an
// export that knows its bound, a log that grows while it is saved.
import assert from "node:assert/strict";
import { readFile, readdir } from "node:fs/promises";
import { test } from "node:test";
import { skip } from "../chromium.mjs";
import { HERE, auth, loginAsAdmin, open, shows, start, texts, until } from "./rig.mjs";

/** Kinds of insights that the server tells of. */
async function kinds() {
  const folder = new URL("../../../src/engine/introspection/", import.meta.url);
  const sources = await Promise.all((await readdir(folder)).map((name) => readFile(new URL(name, folder), "utf8")));
  return [...new Set([...sources.join("\n").matchAll(/\("(\w+)", (?:Severity::\w+|severity)\)/g)].map(([, kind]) => kind))];
}
/** As `prepare`: messages of the page and the server pass through `fn`, which may answer instead. */
const between = (fn) => (page) => page.routeWebSocket(/./, (socket) => {
  const up = socket.connectToServer();
  socket.onMessage(async (line) => { const answer = await fn(JSON.parse(line)); if (answer === undefined) up.send(line); else socket.send(JSON.stringify(answer)); });
});

test("Now: how durable it is, and each insight opens its subject", { skip }, async (t) => {
  const { server, db } = await start(t, { dataDir: HERE, durability: "interval" });
  await db.store.defineBucket({ name: "parts", config: { key: "id", schema: { id: { type: "string" } } } });
  await db.store.defineQuery({ name: "few", config: { bucket: "parts" } });
  await db.rules.registerRule({ rule: { id: "hot", name: "Hot sensor", priority: 1, enabled: true, trigger: { type: "event", topic: "x" }, conditions: [], actions: [{ type: "set_fact", key: "a", value: 1 }] } });
  const conn = (await db.server.top({ limit: 1 })).rows[0].connectionId;
  const all = await kinds();
  assert.ok(all.length >= 19 && all.includes("certificate"), `found ${all}`);
  const of = { scan: "parts", nullOwner: "parts", rerun: "few", costly: "few", wholeResults: "few", behind: conn, ruleFails: "hot", openSet: "team", limitNear: "limits.maxDataBytes" };
  const insights = all.map((kind) => ({ kind, severity: "warn", subject: of[kind] ?? "server", reason: `about ${kind}`, cure: "none", since: Date.now(), count: 1 }));
  const page = await open(t, server, "now", { prepare: between(({ id, type }) => (type == "server.insights" ? { id, type: "result", data: { at: Date.now(), insights } } : undefined)) });
  await shows(page, "main", "durability interval");
  assert.deepEqual((await page.evaluate(async () => Object.keys((await import("./tabs/now.js")).SUBJECTS))).sort(), all.sort());
  const leads = {
    scan: "data/parts", nullOwner: "data/parts", rerun: "views/few", costly: "views/few", wholeResults: "views/few", behind: `slow/${conn}`, ruleFails: "rules/rules/hot", limitNear: "data", noBackup: "backups", loopBusy: "slow", open: "people/sessions", noRateLimit: "slow", plain: "slow",
  };
  const shown = { scan: ["h1", "parts"], rerun: [".drawer h2 >> nth=0", "few"], behind: [".drawer h2 >> nth=0", conn], ruleFails: [".drawer h2 >> nth=0", "hot"], noBackup: ["h1", "Backups"], open: ["table", conn] };
  for (const kind of all) {
    await page.goto(`${server.http}/console/#/now`);
    await page.click(`.insight:has(p:text-is('about ${kind}')) >> button:text-is('Open')`);
    if (leads[kind]) await until(`${kind} leads to ${leads[kind]}`, () => decodeURIComponent(new URL(page.url()).hash) == `#/${leads[kind]}`);
    else {
      // Of the machine and the configuration there are figures: asked for by hand.
      await shows(page, "h1", "Playground");
      await page.click("button:text-is('Run')");
      await shows(page, ".panel", "answer");
      assert.doesNotMatch(await texts(page, "main"), /FORBIDDEN|NOT_FOUND|VALIDATION/, kind);
    }
    if (shown[kind]) await shows(page, ...shown[kind]);
  }
});

test("export: at most so many bytes, of both forms, in bytes and not in characters", { skip }, async (t) => {
  const { server } = await start(t);
  const page = await open(t, server, "now");
  await shows(page, "main", "Start here");
  const made = await page.evaluate(async () => {
    const { sheet } = await import("./tabs/more.js");
    const rows = Array.from({ length: 300 }, (_, i) => ({ id: `ž${i}`, ...(i % 7 == 3 && { late: "🔥,".repeat(i % 5) }), n: i }));
    const out = [];
    for (const form of ["csv", "jsonl"]) {
      const whole = sheet(form, 1e9);
      for (let at = 0; at < rows.length; at += 50) whole.take(rows.slice(at, at + 50));
      const all = new Blob(whole.parts()).size;
      for (const most of [all, all - 1, 2000, 300, 1]) {
        const some = sheet(form, most);
        let hasRoom = true;
        for (let at = 0; at < rows.length && hasRoom; at += 50) hasRoom = some.take(rows.slice(at, at + 50));
        const text = some.parts().join("");
        out.push({ form, most, n: some.n, hasRoom, size: new Blob([text]).size, lines: text.trimEnd().split("\n").length, isRagged: form == "csv" && new Set(text.trimEnd().split("\r\n").map((line) => line.replace(/"[^"]*"/g, "").split(",").length)).size > 1 });
      }
    }
    return out;
  });
  for (const { form, most, n, hasRoom, size, lines, isRagged } of made) {
    const said = `${form} of ${most}: ${n} records, ${size} bytes`;
    assert.ok(n == 0 || size <= most, said);
    assert.equal(hasRoom, n == 300, said);
    assert.equal(lines, n ? n + (form == "csv") : 1, said);
    assert.ok(!isRagged, said);
    if (most == 2000) assert.ok(size > most - 60, said);
  }
});

test("Audit: saved while it grows, each entry once", { skip }, async (t) => {
  const { server, db } = await start(t, { console: true, audit: true, auth });
  const note = (n) => db.server.unrevoke({ userId: `user-${n}` });
  for (let i = 0; i < 1050; i += 50) await Promise.all(Array.from({ length: 50 }, (_, k) => note(i + k)));
  let asked = 0;
  // Between two pages somebody does more.
  const grows = async ({ type, limit }) => { if (type == "audit.query" && limit == 1000) for (let i = 0; i < 20; i++) await note(2000 + asked++); };
  const page = await open(t, server, "audit?operation=server.unrevoke", { prepare: between(grows) });
  await loginAsAdmin(page);
  await shows(page, "table", "server.unrevoke");
  await page.click("text=Tail on");
  const [download] = await Promise.all([page.waitForEvent("download"), page.click("button:text-is('Export')")]);
  const lines = (await readFile(await download.path(), "utf8")).trim().split("\n").map((line) => JSON.parse(line));
  assert.ok(asked >= 40, `${asked} meanwhile`);
  const { entries } = await db.audit.query({ operation: "server.unrevoke", limit: 1000, offset: asked });
  assert.equal(lines.length, 1050);
  assert.deepEqual(lines.slice(0, 1000), entries);
});
