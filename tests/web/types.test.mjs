// The declarations: strict, and wrong uses are errors.
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { Operations } from "./operations.mjs";
import { file } from "./chromium.mjs";

test("tsc --strict on types.ts", () => {
  const options = ["--noEmit", "--strict", "--target", "es2022", "--lib", "es2023,dom", "--module", "nodenext", "--moduleResolution", "nodenext", "--skipLibCheck", "false", "--types", "", "types.ts"];
  const cwd = fileURLToPath(new URL(".", import.meta.url));
  const done = spawnSync("node", ["node_modules/typescript/bin/tsc", ...options], { cwd, encoding: "utf8" });
  assert.equal(done.status, 0, done.stdout + done.stderr);
});

test("every family of operations is a member", async () => {
  const types = await file("src/web/client/noexd.d.ts");
  for (const family of new Set((await Operations()).map((name) => name.split(".")[0]))) {
    assert.ok(family === "session" || types.includes(`readonly ${family}: Operations;`), family);
  }
});
