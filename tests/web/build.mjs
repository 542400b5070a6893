// scripts/web: src/web/client to src/web/dist.
import { createHash } from "node:crypto";
import { readFile, readdir, writeFile } from "node:fs/promises";
import { gzipSync } from "node:zlib";
import { minify } from "terser";

const from = new URL("../../src/web/client/", import.meta.url);
const to = new URL("../../src/web/dist/", import.meta.url);
const check = process.argv.includes("--check");
const sha256 = (bytes) => createHash("sha256").update(bytes).digest("hex");

/** Property names stay: what is served is the same module for whoever reads it. */
async function build(name, source) {
  if (name.endsWith(".d.ts")) return source;
  const options = { module: true, ecma: 2020, compress: { passes: 3, ecma: 2020, unsafe_arrows: true } };
  return Buffer.from((await minify(source.toString(), options)).code + "\n");
}

let differs = 0;
async function write(name, bytes) {
  const old = await readFile(new URL(name, to)).catch(() => Buffer.alloc(0));
  if (old.equals(bytes)) return;
  differs++;
  console.log(`${check ? "differs" : "wrote"}: src/web/dist/${name}`);
  if (!check) await writeFile(new URL(name, to), bytes);
}

const manifest = {};
for (const name of (await readdir(from)).filter((name) => /\.(js|d\.ts)$/.test(name)).sort()) {
  const source = await readFile(new URL(name, from));
  const result = await build(name, source);
  const packed = gzipSync(result, { level: 9 });
  packed[9] = 255; // the operating system, which says nothing here
  manifest[name] = { source: sha256(source), result: sha256(result), gz: packed.length };
  await write(name, result);
  await write(`${name}.gz`, packed);
}
await write("manifest.json", Buffer.from(JSON.stringify(manifest, null, 1) + "\n"));
for (const [name, { gz }] of Object.entries(manifest)) console.log(`${name}: ${gz} bytes packed`);
process.exit(check && differs ? 1 : 0);
