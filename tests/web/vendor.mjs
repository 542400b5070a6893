// scripts/web --vendor NAME@VERSION: a library from npm to src/web/vendor, with
// its record in vendor.json. The replacements are few and exact, and a test of
// cargo undoes them and compares what was published.
import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

const LIBRARIES = {
  preact: { files: { "preact.js": "dist/preact.mjs", "hooks.js": "hooks/dist/hooks.mjs" }, licence: "LICENSE" },
  htm: { files: { "htm.js": "dist/htm.mjs" }, licence: "LICENSE" },
};
const sha256 = (bytes) => createHash("sha256").update(bytes).digest("hex");
const vendor = new URL("../../src/web/vendor/", import.meta.url);

const wanted = process.argv[2] ?? "";
const [name, version] = wanted.split("@");
const library = LIBRARIES[name];
if (!library || !version) throw new Error(`expected NAME@VERSION with one of ${Object.keys(LIBRARIES)}, got "${wanted}"`);

const dir = await mkdtemp(join(tmpdir(), "noexd-vendor-"));
try {
  const [packed] = JSON.parse(execFileSync("npm", ["pack", "--json", wanted], { cwd: dir, encoding: "utf8" }));
  const tarball = await readFile(join(dir, packed.filename));
  const integrity = `sha512-${createHash("sha512").update(tarball).digest("base64")}`;
  const published = execFileSync("npm", ["view", wanted, "dist.integrity"], { encoding: "utf8" }).trim();
  if (integrity != published) throw new Error(`${wanted}: ${integrity} is not the published ${published}`);
  execFileSync("tar", ["xzf", packed.filename], { cwd: dir });
  const licence = JSON.parse(await readFile(join(dir, "package/package.json"), "utf8")).license;

  const at = new URL("vendor.json", vendor);
  const record = JSON.parse(await readFile(at, "utf8").catch(() => "{}"));
  record[name] = { version, licence, integrity, files: {} };
  for (const [to, from] of Object.entries(library.files)) {
    const original = await readFile(join(dir, "package", from), "utf8");
    let text = original;
    const replacements = [];
    const replace = (old, now) => {
      if (text.split(old).length != 2) throw new Error(`${from}: ${old} is not there once`);
      text = text.replace(old, () => now);
      replacements.push([old, now]);
    };
    if (/from"preact"/.test(text)) replace('from"preact"', 'from"./preact.js"');
    const map = /\n\/\/# sourceMappingURL=.*\n?$/.exec(text);
    if (map) replace(map[0], "\n");
    await writeFile(new URL(to, vendor), text);
    record[name].files[to] = { from, published: sha256(original), committed: sha256(text), replacements };
  }
  await writeFile(at, JSON.stringify(record, null, 1) + "\n");
  const terms = (await readFile(join(dir, "package", library.licence), "utf8")).trim();
  const texts = new URL("LICENSES.txt", vendor);
  const others = (await readFile(texts, "utf8").catch(() => "")).split(/^(?==== )/m).filter((one) => one && !one.startsWith(`=== ${name} `));
  await writeFile(texts, [...others, `=== ${name} ${version} (${licence})\n\n${terms}\n\n`].sort().join(""));
} finally {
  await rm(dir, { recursive: true, force: true });
}
