// Pictures of the page: how far one is from another, one as a small file, and
// what can be said of a page without any: nothing sticks out, is cut, or lies
// over something else.
import { execFileSync } from "node:child_process";
import { deflateSync } from "node:zlib";

const decode = async (bytes) => {
  const bitmap = await createImageBitmap(new Blob([bytes], { type: "image/png" }), { colorSpaceConversion: "none" });
  const canvas = new OffscreenCanvas(bitmap.width, bitmap.height);
  const context = canvas.getContext("2d");
  context.drawImage(bitmap, 0, 0);
  return context.getImageData(0, 0, bitmap.width, bitmap.height);
};
const inPage = (page, fn, ...pngs) => page.evaluate(new Function("texts", `const decode = ${decode}; return (${fn})(...texts.map((text) => Uint8Array.from(atob(text), (c) => c.charCodeAt(0))));`), pngs.map((png) => png.toString("base64")));

/** A pixel is another one where a channel differs by more than this: files hold rounded colours. */
const FAR = 40;
/** Share of the pixels that differ; `page` is any page without a policy of its own. */
export const difference = (page, one, other) => inPage(page, `async (a, b) => {
  const [x, y] = await Promise.all([decode(a), decode(b)]);
  if (x.width != y.width || x.height != y.height) return 1;
  let n = 0;
  for (let at = 0; at < x.data.length; at += 4) if ([0, 1, 2].some((c) => Math.abs(x.data[at + c] - y.data[at + c]) > ${FAR})) n++;
  return n / (x.width * x.height);
}`, one, other);

const TABLE = Array.from({ length: 256 }, (_, n) => { for (let k = 0; k < 8; k++) n = n & 1 ? 0xedb88320 ^ (n >>> 1) : n >>> 1; return n >>> 0; });
function chunk(name, data) {
  const body = Buffer.concat([Buffer.from(name, "latin1"), data]);
  const crc = body.reduce((sum, byte) => TABLE[(sum ^ byte) & 255] ^ (sum >>> 8), 0xffffffff);
  const [length, check] = [Buffer.alloc(4), Buffer.alloc(4)];
  length.writeUInt32BE(data.length);
  check.writeUInt32BE((crc ^ 0xffffffff) >>> 0);
  return Buffer.concat([length, body, check]);
}
/** The same picture with at most 256 colours. */
export async function small(page, png) {
  const { width, height, text } = await inPage(page, `async (a) => {
    const { width, height, data } = await decode(a);
    let text = "";
    for (let at = 0; at < data.length; at += 30000) text += String.fromCharCode(...data.subarray(at, at + 30000));
    return { width, height, text: btoa(text) };
  }`, png);
  const data = Buffer.from(text, "base64");
  const colourAt = (at) => data.readUIntBE(at * 4, 3);
  const times = new Map();
  for (let at = 0; at < width * height; at++) times.set(colourAt(at), (times.get(colourAt(at)) ?? 0) + 1);
  const far = (a, b) => [16, 8, 0].reduce((sum, bits) => sum + (((a >> bits) & 255) - ((b >> bits) & 255)) ** 2, 0);
  // The most frequent as they are, what is near one of those and all the others as the nearest.
  const kept = [];
  for (const [colour] of [...times].sort((a, b) => b[1] - a[1] || a[0] - b[0])) if (kept.length < 256 && (kept.length < 64 || !kept.some((one) => far(one, colour) < 300))) kept.push(colour);
  const nearest = (colour) => kept.reduce((best, one, at) => (far(one, colour) < far(kept[best], colour) ? at : best), 0);
  const places = new Map([...times.keys()].map((colour) => [colour, nearest(colour)]));
  const lines = Buffer.alloc((width + 1) * height);
  for (let at = 0; at < width * height; at++) lines[at + Math.floor(at / width) + 1] = places.get(colourAt(at));
  const [head, palette] = [Buffer.alloc(13), Buffer.alloc(kept.length * 3)];
  head.writeUInt32BE(width, 0);
  head.writeUInt32BE(height, 4);
  head.set([8, 3, 0, 0, 0], 8);
  kept.forEach((colour, at) => palette.writeUIntBE(colour, at * 3, 3));
  return Buffer.concat([Buffer.from("\x89PNG\r\n\x1a\n", "latin1"), chunk("IHDR", head), chunk("PLTE", palette), chunk("IDAT", deflateSync(lines, { level: 9 })), chunk("IEND", Buffer.alloc(0))]);
}

/** What pictures look like depends on these. */
export function madeWith(version) {
  let fonts = "unknown";
  try { fonts = execFileSync("dpkg-query", ["-W", "fonts-dejavu-core", "fonts-liberation"], { encoding: "utf8", stdio: ["ignore", "pipe", "ignore"] }).trim().replace(/\s+/g, " "); } catch { /* no Debian: only structure is compared */ }
  return { chromium: version.split(".")[0], fonts };
}

/** Lines that say what sticks out sideways, is cut, or lies over something else. */
export const crooked = (page) => page.evaluate(() => {
  const wide = document.documentElement.clientWidth;
  const out = [];
  const called = (node) => `${node.tagName}.${node.className} "${(node.innerText || node.value || node.getAttribute("aria-label") || "").slice(0, 24)}"`;
  if (document.documentElement.scrollWidth > wide) out.push(`the page is ${document.documentElement.scrollWidth} wide`);
  for (const node of document.querySelectorAll("main, .tab, .tab > *, .drawer, .inside, .inside > *, .top > *, .bar, .panel, .figures, .figure")) {
    const box = node.getBoundingClientRect();
    if (!box.width || node.closest(".scroll, .grid")) continue;
    if (box.right > wide + 1 || box.left < -1) out.push(`${called(node)} lies at ${Math.round(box.left)} to ${Math.round(box.right)}`);
    if (node.scrollWidth > node.clientWidth + 1 && !/auto|scroll|hidden/.test(getComputedStyle(node).overflowX)) out.push(`${called(node)} holds ${node.scrollWidth} in ${node.clientWidth}`);
    if (node.scrollHeight > node.clientHeight + 1 && getComputedStyle(node).overflowY == "hidden") out.push(`${called(node)} is cut: ${node.scrollHeight} tall in ${node.clientHeight}`);
  }
  for (const node of document.querySelectorAll("button, .top *, h1, h2")) {
    if (node.closest(".scroll, .grid, dialog") || !node.offsetWidth) continue;
    if (node.scrollWidth > node.clientWidth + 1 && getComputedStyle(node).overflowX == "visible" && getComputedStyle(node).display != "inline") out.push(`${called(node)} is cut`);
  }
  // Of what is in one layer, what can be seen of it.
  const seen = (node) => {
    let { left, top, right, bottom } = node.getBoundingClientRect();
    for (let at = node.parentElement; at; at = at.parentElement) {
      if (!/auto|scroll|hidden/.test(getComputedStyle(at).overflow)) continue;
      const box = at.getBoundingClientRect();
      [left, top, right, bottom] = [Math.max(left, box.left), Math.max(top, box.top), Math.min(right, box.right), Math.min(bottom, box.bottom)];
    }
    return right - left > 1 && bottom - top > 1 ? { node, left, top, right, bottom } : null;
  };
  const layers = new Map();
  for (const node of document.querySelectorAll("button, input, select, textarea, summary, h1, h2, a, dt, dd, td, th, .figure > span, .figure > b, .json, .chart, .state, .issue, .theirs")) {
    if (!node.checkVisibility() || /^(absolute|sticky)$/.test(getComputedStyle(node).position) || node.closest("thead, .code, .id, .head")) continue;
    const layer = node.closest(".drawer, dialog, .notes, .top, .rail, .over, .menu > div") ?? document.body;
    const box = seen(node);
    if (box) layers.set(layer, [...(layers.get(layer) ?? []), box]);
  }
  for (const all of layers.values()) all.forEach((a, at) => all.slice(at + 1).forEach((b) => {
    if (a.node.contains(b.node) || b.node.contains(a.node)) return;
    const [x, y] = [Math.min(a.right, b.right) - Math.max(a.left, b.left), Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top)];
    if (x > 2 && y > 2) out.push(`${called(a.node)} lies over ${called(b.node)}`);
  }));
  return out;
});
