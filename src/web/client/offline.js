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
const lock = (name, session) => new Promise((taken, failed) => {
  navigator.locks.request(`noexd:${name}:${session}`, { ifAvailable: true }, (held) =>
    held ? new Promise((release) => taken(release)) : taken(undefined)).catch(failed);
});

/** A change as the client has it in its queue: `stored` is 2 if it may have been sent. */
const restored = ({ n, type, fields, user, wasSent }) =>
  ({ n, type, fields, user, sent: wasSent, once: true, stored: wasSent ? 2 : 1, size: JSON.stringify(fields).length });

export function offlineQueue(name, gone) {
  // Without locks (an insecure page) nobody knows whose page is gone: the queue is in memory.
  if (!globalThis.navigator?.locks) return {};
  const db = database(name), others = new Set();
  db.catch(() => {});
  let own, release, counter = 0, isClosed = false, last = Promise.resolve(), busy = last;

  /** Durable when it resolves; in order. */
  const write = (fn) => (isClosed ? Promise.resolve() : (last = last.catch(() => {}).then(async () => {
    const tx = (await db).transaction(["queues", "writes"], "readwrite");
    fn(tx.objectStore("queues"), tx.objectStore("writes"));
    await new Promise((resolve, reject) => {
      tx.oncomplete = resolve;
      tx.onabort = tx.onerror = () => reject(tx.error);
    });
  })));
  const range = (session) => IDBKeyRange.bound([session, 0], [session, Infinity]);
  const read = async (store, of) => result((await db).transaction(store).objectStore(store).getAll(of));

  /** A queue whose page is gone, with its lock, if its changes are wanted. */
  async function find(isWanted = () => true) {
    for (const queue of await read("queues")) {
      const { session } = queue;
      const free = !isClosed && session != own && (await lock(name, session));
      if (!free) continue;
      let isFound;
      try {
        const writes = await read("writes", range(session));
        isFound = writes.length && isWanted(writes);
        if (isFound) return { queue, writes, free };
        if (!writes.length) await write((queues) => queues.delete(session));
      } finally {
        if (!isFound) free();
      }
    }
  }

  return {
    /** The changes to go on with: of the page that was here before, if it is gone. */
    load(session) {
      busy = (async () => {
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
      })();
      return busy;
    },
    /** That it may have been sent is stored before it is; under the session that it has its number in, or not at all. */
    put({ n, type, fields, user }, wasSent = false) {
      const session = own;
      return write((queues, writes) => {
        if (session != own) return;
        counter = Math.max(counter, n);
        queues.put({ session, counter });
        writes.put({ session, n, type, fields, user, wasSent });
      });
    },
    delete(n) {
      const session = own;
      write((_, writes) => writes.delete([session, n])).catch(() => {});
    },
    /** Another session, whose numbers begin anew: locked before others see it, and the old one until it is gone. */
    session(id) {
      const old = own, free = release;
      own = id;
      counter = 0;
      last = last.catch(() => {}).then(() => lock(name, id)).then((taken) => { release = taken; });
      write((queues, writes) => {
        queues.delete(old);
        writes.delete(range(old));
        queues.put({ session: id, counter: 0 });
      }).catch(() => {}).then(free);
    },
    /** Sends what `user` may send of other queues without a page, over connections that end with that. */
    adopt(open, tell, user) {
      const tried = new Set();
      busy = busy.catch(() => {}).then(async () => {
        for (let found; !gone && (found = await find((writes) =>
          !tried.has(writes[0].session) && writes.some((one) => (one.user ?? user) === user))); ) {
          if (isClosed) return found.free();
          tried.add(found.queue.session);
          const other = open(offlineQueue(name, found));
          const check = () => {
            if (others.has(other) && other.pending().every((one) => one.parked)) others.delete(other), other.close();
          };
          others.add(other);
          other.on("write", (write) => (tell("write", write), check()));
          other.on("user", check);
          other.ready.then(check, () => {});
        }
      });
      return busy;
    },
    close() {
      isClosed = true;
      for (const other of others) other.close();
      last = Promise.allSettled([busy, last]).then(async () => (await db).close()).catch(() => {}).then(() => release?.());
    },
  };
}
