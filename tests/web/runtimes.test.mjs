// One conversation in other runtimes, each with its own WebSocket.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { serve } from "./rig.mjs";

const here = (name) => fileURLToPath(new URL(name, import.meta.url));
const client = new URL(`../../src/web/${process.env.NOEXD_CLIENT ?? "client"}/noexd.js`, import.meta.url).href;

const runtimes = [
  ["deno", "deno", ["run", "--no-lock", "--no-prompt", "--allow-net", "--allow-read", "--allow-import"]],
  ["bun", "bun", ["run"]],
  ["Node 22", "node", []],
];

async function converse(runtime, options, from) {
  const server = await serve();
  try {
    const child = spawn(here(`runtimes/node_modules/.bin/${runtime}`), [...options, here("runtimes/conversation.mjs"), from(server), server.url], { stdio: ["ignore", "pipe", "pipe"] });
    let said = "";
    for (const pipe of [child.stdout, child.stderr]) pipe.on("data", (bytes) => { said += bytes; });
    const code = await new Promise((resolve) => child.once("close", resolve));
    assert.deepEqual([code, said.trim().split("\n").at(-1)], [0, "ok"], said);
  } finally {
    await server.end();
  }
}

for (const [name, runtime, options] of runtimes) {
  const skip = existsSync(here(`runtimes/node_modules/.bin/${runtime}`)) ? false : `no ${name} here`;
  test(`${name}: a conversation with the client as a file`, { skip }, () => converse(runtime, options, () => client));
  // Only one of them loads modules from where they are served.
  if (runtime === "deno") test(`${name}: with the client that the server serves`, { skip }, () => converse(runtime, options, (server) => `${server.http}/client.js`));
}
