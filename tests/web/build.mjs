// scripts/web: src/web/client to src/web/dist, src/web/console and
// src/web/vendor to src/web/dist/console.
import { createHash } from "node:crypto";
import { mkdir, readFile, readdir, writeFile } from "node:fs/promises";
import zopfli from "@gfx/zopfli";
import { build } from "esbuild";
import { minify } from "terser";

const web = new URL("../../src/web/", import.meta.url);
const check = process.argv.includes("--check");
const sha256 = (bytes) => createHash("sha256").update(bytes).digest("hex");

/** What is served as one file each, because it is loaded together or shares words: the shell with ui.js in it, and tabs. */
const JOINED = ["main.js", "tabs/now.js", "tabs/more.js"];
async function joined(at, from) {
  const { outputFiles, metafile } = await build({
    entryPoints: [at.pathname], bundle: true, format: "esm", write: false, metafile: true, target: "es2022", charset: "utf8", logLevel: "error", absWorkingDir: from.pathname,
    external: at.pathname.endsWith("/main.js") ? ["./noexd.js", "./vendor/*", "./tabs/*"] : ["../ui.js", "../noexd.js"],
  });
  // ui.js is served inside of main.js.
  return [outputFiles[0].text.replaceAll('"../ui.js"', '"../main.js"'), Object.keys(metafile.inputs).sort()];
}

/** Property names stay: what is served is the same module for whoever reads it. */
async function script(source, more) {
  const options = { module: true, ecma: 2020, compress: { passes: 3, ecma: 2020, unsafe_arrows: true, ...more } };
  return (await minify(source.toString(), options)).code + "\n";
}

/** What is never assigned again needs no keyword of its own there: one word for both packs better, by 1 %. No text of the client has it in it. */
const variables = (source) => source.toString().replace(/\bconst (?=[\w[{])/g, "let ");

/** Line breaks that are left stand in templates, where they mean no more than a space. */
const markup = (code) => code.replace(/\n\s+/g, "\n");

/** No strings with spaces or braces are in our style sheets. */
const style = (css) => css.toString().replace(/\/\*[^]*?\*\//g, "").replace(/\s+/g, " ").replace(/ ?([{};,>]) ?/g, "$1").replace(/: /g, ":").replace(/;}/g, "}").trim() + "\n";

let differs = 0;
async function write(name, bytes) {
  const at = new URL(`dist/${name}`, web);
  const old = await readFile(at).catch(() => Buffer.alloc(0));
  if (old.equals(bytes)) return;
  differs++;
  console.log(`${check ? "differs" : "wrote"}: src/web/dist/${name}`);
  if (check) return;
  await mkdir(new URL(".", at), { recursive: true });
  await writeFile(at, bytes);
}

/** Smaller than other programs for gzip, by some 3 %, and the same on every machine. */
const pack = async (result) => Buffer.from(await zopfli.gzipAsync(result, { numiterations: 30 }));

async function manifest(folder, all) {
  await write(`${folder}manifest.json`, Buffer.from(JSON.stringify(all, null, 1) + "\n"));
  for (const [name, { gz }] of Object.entries(all)) console.log(`${folder}${name}: ${gz} bytes packed`);
}

async function client() {
  const from = new URL("client/", web);
  const all = {};
  for (const name of (await readdir(from)).filter((name) => /\.(js|d\.ts)$/.test(name)).sort()) {
    const source = await readFile(new URL(name, from));
    const result = name.endsWith(".d.ts") ? source : Buffer.from(await script(variables(source), { lhs_constants: false, pure_getters: true }));
    const packed = await pack(result);
    all[name] = { source: sha256(source), result: sha256(result), gz: packed.length };
    await write(name, result);
    await write(`${name}.gz`, packed);
  }
  await manifest("", all);
}

async function page() {
  const from = new URL("console/", web);
  const vendor = new URL("vendor/", web);
  const sources = (await readdir(from, { recursive: true, withFileTypes: true }))
    .filter((entry) => entry.isFile())
    .map((entry) => `${entry.parentPath}/${entry.name}`.replace(/\/+/g, "/").slice(from.pathname.length))
    .map((name) => [name, new URL(name, from)]);
  const libraries = (await readdir(vendor)).filter((name) => name != "vendor.json").map((name) => [name.endsWith(".js") ? `vendor/${name}` : name, new URL(name, vendor)]);
  const all = {};
  for (const [name, at] of [...sources, ...libraries].sort(([a], [b]) => (a < b ? -1 : 1))) {
    if ((name.startsWith("tabs/") || name == "ui.js") && !JOINED.includes(name)) continue;
    const source = await readFile(at);
    let result = source;
    let of;
    if (JOINED.includes(name)) {
      const [text, parts] = await joined(at, from);
      of = Object.fromEntries(await Promise.all(parts.filter((part) => part != name).map(async (part) => [part, sha256(await readFile(new URL(part, from)))])));
      result = markup(await script(text));
    } else if (name.endsWith(".css")) result = style(source);
    else if (name.endsWith(".js") && !name.startsWith("vendor/")) result = markup(await script(source));
    const packed = await pack(Buffer.from(result));
    all[name] = { source: sha256(source), ...(of && { of }), gz: packed.length };
    await write(`console/${name}.gz`, packed);
  }
  await manifest("console/", all);
}

await client();
await page();
process.exit(check && differs ? 1 : 0);
