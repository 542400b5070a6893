// A queue of changes that survives the page: connect(url, { queue: offlineQueue("app") }).
//
// Each page has a queue of its own, under the session that its changes are
// numbered in, and holds a Web Lock for it as long as it lives. A lock that
// nobody holds says that its page is gone; whoever gets it sends what is left.

const result = (request) =>
  new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });

function database(name) {
  const request = indexedDB.open(`noexd:${name}`, 1);
  request.onupgradeneeded = () => {
    request.result.createObjectStore("queues", { keyPath: "session" });
    request.result.createObjectStore("writes", { keyPath: ["session", "n"] });
  };
  return result(request);
}

/** Takes the lock of a queue if it is free; returns how to let it go. */
function lock(name, session) {
  if (!globalThis.navigator?.locks) return Promise.resolve(() => {});
  return new Promise((taken, failed) => {
    navigator.locks.request(`noexd:${name}:${session}`, { ifAvailable: true }, (held) =>
      held ? new Promise((release) => taken(release)) : taken(undefined)).catch(failed);
  });
}

/** A change as the client has it in its queue: `stored` is 2 if it may have been sent. */
const restored = ({ n, type, fields, user, wasSent }) =>
  ({ n, type, fields, user, sent: wasSent, once: true, stored: wasSent ? 2 : 1, size: JSON.stringify(fields).length });

export function offlineQueue(name, gone) {
  const db = database(name);
  db.catch(() => {});
  let own, release, counter = 0, isClosed = false, last = Promise.resolve();

  /** Durable when it resolves; in order. */
  const write = (fn) => (last = last.catch(() => {}).then(async () => {
    if (isClosed) return;
    const tx = (await db).transaction(["queues", "writes"], "readwrite");
    fn(tx.objectStore("queues"), tx.objectStore("writes"));
    await new Promise((resolve, reject) => {
      tx.oncomplete = resolve;
      tx.onabort = tx.onerror = () => reject(tx.error);
    });
  }));
  const range = (session) => IDBKeyRange.bound([session, 0], [session, Infinity]);
  const read = async (store, of) => result((await db).transaction(store).objectStore(store).getAll(of));

  /** A queue whose page is gone, with its lock. */
  async function find() {
    for (const queue of await read("queues")) {
      if (queue.session == own) continue;
      const free = await lock(name, queue.session);
      if (!free) continue;
      const writes = await read("writes", range(queue.session));
      if (writes.length) return { queue, writes, free };
      await write((queues) => queues.delete(queue.session));
      free();
    }
  }

  return {
    /** The changes to go on with: of the page that was here before, if it is gone. */
    async load(session) {
      const found = gone ?? (await find());
      if (!found) {
        release = await lock(name, (own = session));
        await write((queues) => queues.put({ session, counter }));
        return { session, counter, writes: [] };
      }
      own = found.queue.session;
      release = found.free;
      // Numbers that were used are not used again, whoever's changes they are.
      counter = Math.max(found.queue.counter ?? 0, found.writes.at(-1).n);
      return { session: own, counter, writes: found.writes.map(restored) };
    },
    /** That it may have been sent is stored before it is. */
    put: ({ n, type, fields, user }, wasSent = false) => write((queues, writes) => {
      counter = Math.max(counter, n);
      queues.put({ session: own, counter });
      writes.put({ session: own, n, type, fields, user, wasSent });
    }),
    delete(n) { write((_, writes) => writes.delete([own, n])).catch(() => {}); },
    /** Another session, whose numbers begin anew. */
    session(id) {
      const old = own;
      own = id;
      counter = 0;
      write((queues, writes) => {
        queues.delete(old);
        writes.delete(range(old));
        queues.put({ session: id, counter });
      }).catch(() => {});
      release?.();
      lock(name, id).then((free) => { release = free; }, () => {});
    },
    /** Sends every other queue without a page, over a connection of its own that ends with it. */
    async adopt(open, tell) {
      for (let found; !isClosed && !gone && (found = await find()); ) {
        const other = open(offlineQueue(name, found));
        other.on("write", (write) => {
          tell("write", write);
          if (!other.pending().length) other.close();
        });
      }
    },
    close() {
      last = last.catch(() => {}).then(async () => {
        isClosed = true;
        (await db).close();
        release?.();
      });
    },
  };
}
