// The real binary on a free port, and a server that says what a test wants.
import { spawn } from "node:child_process";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { WebSocketServer, WebSocket as WsSocket } from "ws";

export const binary = process.env.NOEXD_BIN ?? new URL("../../target/debug/noexd", import.meta.url).pathname;
const form = process.env.NOEXD_CLIENT ?? "client";
export const { connect, NoexdError, version } = await import(`../../src/web/${form}/noexd.js`);
/** `ws`, or with --experimental-websocket what Node has itself. */
export const WebSocket = globalThis.WebSocket ?? WsSocket;

export const fast = { retry: { minMs: 5, baseMs: 20, maxMs: 100 } };

/** As `dataDir`: a folder that goes with the server. */
export const HERE = "here";

/** A server; `stop` and `start` again take the same port. */
export async function serve(config = {}) {
  const dir = await mkdtemp(join(tmpdir(), "noexd-web-"));
  const server = { port: 0, dir, child: undefined };
  server.start = async () => {
    const file = join(dir, "noexd.json");
    await writeFile(file, JSON.stringify({ host: "127.0.0.1", port: server.port, ...config, ...(config.dataDir === HERE ? { dataDir: join(dir, "data") } : {}) }));
    const child = spawn(binary, ["--config", file], { stdio: ["ignore", "pipe", "pipe"] });
    server.child = child;
    let said = "";
    await new Promise((resolve, reject) => {
      const read = (bytes) => {
        said += bytes;
        // Not any address: the settings it logs may hold some, too.
        const found = /ws:\/\/127\.0\.0\.1:(\d+)/.exec(said);
        if (found) {
          server.port = Number(found[1]);
          resolve();
        }
      };
      child.stdout.on("data", read);
      child.stderr.on("data", read);
      child.once("exit", (code) => reject(new Error(`noexd ended with ${code}:\n${said}`)));
    });
  };
  server.stop = (signal = "SIGTERM") =>
    new Promise((resolve) => {
      const { child } = server;
      if (!child || child.exitCode !== null || child.signalCode) return resolve();
      child.once("exit", resolve);
      child.kill(signal);
    });
  server.end = async () => {
    await server.stop("SIGKILL");
    await rm(dir, { recursive: true, force: true });
  };
  await server.start();
  server.url = `ws://127.0.0.1:${server.port}/`;
  server.http = `http://127.0.0.1:${server.port}`;
  return server;
}

/** Waits for a condition, with a limit that only a failure reaches. */
export async function until(what, test, ms = 15000) {
  const end = Date.now() + ms;
  for (;;) {
    const value = await test();
    if (value) return value;
    if (Date.now() > end) throw new Error(`not within ${ms} ms: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

/** A scripted server: `on(message, peer)` for each request; peers in order of arrival. */
export async function script(on) {
  const server = new WebSocketServer({ port: 0, host: "127.0.0.1" });
  await new Promise((resolve) => server.once("listening", resolve));
  const peers = [];
  server.on("connection", (socket) => {
    const peer = {
      at: performance.now(), heard: [], socket,
      send: (message) => socket.send(JSON.stringify(message)),
      answer: (request, data, more) => peer.send({ id: request.id, type: "result", ...more, data }),
      fail: (request, code, message = code, details) => peer.send({ id: request.id, type: "error", code, message, details }),
      close: (code, reason) => socket.close(code, reason),
    };
    peers.push(peer);
    socket.on("message", (text) => {
      const message = JSON.parse(text);
      peer.heard.push(message);
      if (message.type != "pong") on(message, peer, peers.length);
    });
    peer.send({ type: "welcome", version: "1.0.0", serverTime: Date.now(), requiresAuth: false });
  });
  return {
    peers, url: `ws://127.0.0.1:${server.address().port}/`,
    end: () => { for (const one of server.clients) one.terminate(); return new Promise((resolve) => server.close(resolve)); },
  };
}
