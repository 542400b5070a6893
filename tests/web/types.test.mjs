// The declarations: strict, and wrong uses are errors. The same for what
// `noexd types` makes, together with them.
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { Operations } from "./operations.mjs";
import { file } from "./chromium.mjs";
import { binary, connect, fast, serve, WebSocket } from "./rig.mjs";

const cwd = fileURLToPath(new URL(".", import.meta.url));

function compile(...files) {
  const options = ["--noEmit", "--strict", "--target", "es2022", "--lib", "es2023,dom", "--module", "nodenext", "--moduleResolution", "nodenext", "--skipLibCheck", "false", "--types", ""];
  const done = spawnSync("node", ["node_modules/typescript/bin/tsc", ...options, ...files], { cwd, encoding: "utf8" });
  assert.equal(done.status, 0, done.stdout + done.stderr);
}

test("tsc --strict on the examples, by hand and with generated types", () => compile("types.ts", "generated.ts"));

test("every family of operations is a member", async () => {
  const types = await file("src/web/client/noexd.d.ts");
  for (const family of new Set((await Operations()).map((name) => name.split(".")[0]))) {
    assert.ok(family === "session" || types.includes(`readonly ${family}: Operations;`), family);
  }
});

const tools = spawnSync(binary, ["types", "--help"]).status === 0 ? false : "a program without the feature tools";
const names = ["a", "b-c", "class", "constructor", "größe", "q\"t", "1st", "toString", "new"];

/** Random definitions, and data that may fit. */
function random(seed) {
  let state = seed;
  const next = () => (state = (Math.imul(state, 1664525) + 1013904223) >>> 0) / 2 ** 32;
  const one = (list) => list[Math.floor(next() * list.length)];
  const some = (list) => list.filter(() => next() < 0.4);
  const field = (depth) => {
    const type = one(["string", "number", "boolean", "date", ...(depth < 3 ? ["object", "array"] : [])]);
    return {
      type,
      ...(next() < 0.3 ? { required: true } : {}),
      ...(type === "object" && next() < 0.8 ? { properties: fields(depth + 1) } : {}),
      ...(type === "array" && next() < 0.8 ? { items: field(depth + 1) } : {}),
      ...(type === "string" && next() < 0.3 ? { enum: ["a", "b\"", "\\c", 7] } : {}),
      ...(type === "number" && next() < 0.3 ? { enum: [1, -2, 2.5, "x"] } : {}),
    };
  };
  const fields = (depth) => Object.fromEntries(["x", ...some(names)].map((name) => [name, field(depth)]));
  const value = (of) => {
    if (next() < 0.15) return null;
    if (of.enum) return one(of.enum);
    const made = { string: () => one(["", "x", "é\n"]), number: () => one([0, 1.5, -3]), boolean: () => next() < 0.5, date: () => one(["2026-01-01", 17e11]) };
    if (of.type === "array") return some([1, 2, 3]).map(() => value(of.items ?? { type: "string" }));
    return of.type === "object" ? members(of.properties ?? { any: { type: "number" } }) : made[of.type]();
  };
  const members = (of) => Object.fromEntries(Object.entries(of).filter(([, one]) => one.required || next() < 0.7).map(([name, one]) => [name, value(one)]));
  const bucket = () => ({ key: "id", schema: { id: { type: "string", generated: "uuid" }, ...fields(0) } });
  return { bucket, members };
}

test("accepted records of 200 random schemas fit their types", { skip: tools }, async () => {
  const seed = Math.floor(Math.random() * 2 ** 32);
  console.log(`seed ${seed}`);
  const { bucket, members } = random(seed);
  const buckets = Object.fromEntries(Array.from({ length: 200 }, (_, n) => [`b${n}`, bucket()]));
  const server = await serve({ buckets });
  // Inside, so that imports are found the same way as by hand.
  const dir = await mkdtemp(`${cwd}generated-`);
  try {
    const done = spawnSync(binary, ["types", "--typescript", "--url", server.url], { encoding: "utf8" });
    assert.equal(done.status, 0, done.stderr);
    const db = connect(server.url, { WebSocket, ...fast });
    const lines = [`import type { DB } from "./types.js";`];
    for (const [name, { schema }] of Object.entries(buckets)) {
      const { id, ...own } = schema;
      const data = Array.from({ length: 4 }, () => members(own));
      const stored = await Promise.all(data.map((record) => db.bucket(name).insert(record).catch(({ code }) => assert.equal(code, "VALIDATION_ERROR"))));
      stored.forEach((record, n) => {
        if (!record) return;
        const of = `DB["buckets"]["${name}"]`;
        lines.push(`export const v${lines.length}: [${of}["record"], ${of}["insert"]] = [${JSON.stringify(record)}, ${JSON.stringify(data[n])}];`);
      });
    }
    await db.close();
    assert.ok(lines.length > 200, `${lines.length} records`);
    await writeFile(`${dir}/types.ts`, done.stdout);
    await writeFile(`${dir}/program.ts`, lines.join("\n"));
    compile(`${dir}/program.ts`);
  } finally {
    await rm(dir, { recursive: true });
    await server.end();
  }
});
