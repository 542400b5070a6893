// Chromium, if there is one, and pages for it.
import { existsSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { createServer } from "node:http";

const executablePath = process.env.CHROMIUM ?? ["/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"].find(existsSync);
const args = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync",
  // A page that a test answers itself has no address that the browser would know as local.
  "--disable-features=LocalNetworkAccessChecks"];

/** A reason, or `false`. Pages load what is served: once is enough. */
export const skip = !executablePath ? "no Chromium here" : process.env.NOEXD_CLIENT === "dist" ? "done with the sources" : false;

export async function launch() {
  const { chromium } = await import("playwright-core");
  return chromium.launch({ executablePath, args });
}

/** With NOEXD_CONSOLE=sources the page is what stands in src/web: nothing has to be built. */
export async function fromSources(context, origin) {
  if (process.env.NOEXD_CONSOLE != "sources") return;
  const policy = (await fetch(`${origin}/console/`)).headers.get("content-security-policy");
  await context.route(`${origin}/console/**`, async (route) => {
    const name = new URL(route.request().url()).pathname.replace(/^\/console\//, "") || "index.html";
    const at = name == "noexd.js" ? "client/noexd.js" : name.startsWith("vendor/") || name == "LICENSES.txt" ? `vendor/${name.replace("vendor/", "")}` : `console/${name}`;
    const body = await readFile(new URL(`../../src/web/${at}`, import.meta.url)).catch(() => null);
    if (!body) return route.continue();
    const type = { js: "text/javascript", css: "text/css", html: "text/html", json: "application/json", svg: "image/svg+xml" }[at.split(".").pop()] ?? "text/plain";
    await route.fulfill({ body, contentType: `${type}; charset=utf-8`, headers: { "content-security-policy": policy } });
  });
}

/** A site of one page, on an origin that is not the server's. */
export async function page(html = "<!doctype html><title>t</title><body></body>") {
  const site = createServer((_, response) => response.setHeader("Content-Type", "text/html; charset=utf-8").end(html));
  await new Promise((resolve) => site.listen(0, "127.0.0.1", resolve));
  return { origin: `http://127.0.0.1:${site.address().port}`, end: () => site.close() };
}

export const file = (path) => readFile(new URL(`../../${path}`, import.meta.url), "utf8");
