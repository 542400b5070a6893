import net from "node:net";

/** A proxy in front of a server whose connections can be cut or stalled. */
export async function proxy(port) {
  const pairs = new Set();
  const server = net.createServer((client) => {
    const upstream = net.connect(port(), "127.0.0.1");
    const pair = { client, upstream };
    pairs.add(pair);
    const end = () => (client.destroy(), upstream.destroy(), pairs.delete(pair));
    for (const [from, to] of [[client, upstream], [upstream, client]]) {
      from.on("data", (bytes) => {
        // Cut inside of what is on its way.
        if (pair.cutAfter !== undefined && (pair.cutAfter -= bytes.length) <= 0) {
          to.write(bytes.subarray(0, Math.max(0, bytes.length + pair.cutAfter)), end);
        } else to.write(bytes);
      });
      from.on("error", end);
      from.on("close", end);
    }
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    url: `ws://127.0.0.1:${server.address().port}/`,
    /** What comes stays here until it is released, in both directions. */
    hold: () => pairs.forEach(({ client, upstream }) => (client.pause(), upstream.pause())),
    release: () => pairs.forEach(({ client, upstream }) => (client.resume(), upstream.resume())),
    cut: () => pairs.forEach(({ client, upstream }) => (client.destroy(), upstream.destroy())),
    cutAfter: (bytes) => pairs.forEach((pair) => { pair.cutAfter = bytes; }),
    end: () => (pairs.forEach(({ client, upstream }) => (client.destroy(), upstream.destroy())), server.close()),
  };
}
