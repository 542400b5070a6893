// The client of noexd for browsers, workers, Node, Deno and Bun. It has no
// dependencies, and importing it does nothing. `noexd.d.ts` beside this file
// says what everything is for; docs/javascript.md is the manual.
//
// Three parts: `createLive` keeps one live query equal to the server's result
// (the algorithm of docs/delta.md), `createWrites` is the queue of changes, and
// `connect` owns the socket, the login and the public face. Answers are handled
// by callbacks inside and never by promises: an answer and the pushes behind it
// may arrive in one turn, and have to be worked off in that order.

export const version = "0.1.0";

const RETRYABLE = /^(RATE_LIMITED|BACKPRESSURE|UNAVAILABLE|INTERNAL_ERROR|TIMEOUT|OFFLINE|QUEUE_FULL)$/;

export class NoexdError extends Error {
  constructor(code, message = code, details, operation) {
    super(message);
    this.name = "NoexdError";
    this.code = code;
    this.details = details;
    this.operation = operation;
    this.issues = Array.isArray(details) ? details : details?.issues ?? [];
    const inText = /after (\d+) ?ms/.exec(message);
    this.retryAfterMs = details?.retryAfterMs ?? (inText ? +inText[1] : undefined);
    this.retryable = RETRYABLE.test(code) && !(details?.outcome && details.outcome !== "none");
  }
}

/** An error of the client itself, about an operation. */
const fault = (code, text, operation) => new NoexdError(code, text, undefined, operation);

/** Deep equality of JSON values. */
function equal(a, b) {
  if (a === b) return true;
  if (!a || !b || typeof a != "object" || typeof b != "object") return false;
  if (Array.isArray(a) != Array.isArray(b)) return false;
  const names = Object.keys(a);
  return names.length == Object.keys(b).length && names.every((n) => n in b && equal(a[n], b[n]));
}

/** One text for equal JSON values, whatever the order of their members. */
const canonical = (value) =>
  JSON.stringify(value, (_, v) =>
    v && typeof v == "object" && !Array.isArray(v) ? Object.fromEntries(Object.entries(v).sort()) : v);

/** Servers may hold the first push of a subscription back so long. */
const FIRST_PUSH_MS = 2200;

/** Keys as members of a Map: `1` is not `"1"`, and groups have arrays. */
const idOf = (key) => (typeof key == "object" ? JSON.stringify(key) : key);

const random = (from, to) => from + Math.random() * (to - from);

/** A timer that keeps no process alive. */
function later(fn, ms) {
  const timer = setTimeout(fn, ms);
  timer?.unref?.();
  return timer;
}

/** Throws where everybody sees it, and stops nobody. */
const report = (error) =>
  globalThis.reportError ? reportError(error) : queueMicrotask(() => { throw error; });

function newId() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

/** A list after one push of delta mode: docs/delta.md, and continuity's two additions. */
function applyDelta(rows, keys, delta) {
  const gone = new Set((delta.removed ?? []).map(idOf));
  const placed = [];
  const here = new Map();
  for (const one of [...(delta.changed ?? []), ...(delta.added ?? [])]) {
    if (one.at == null) here.set(idOf(one.key), one);
    else {
      placed.push(one);
      gone.add(idOf(one.key));
    }
  }
  placed.sort((a, b) => a.at - b.at);
  const [toRows, toKeys] = [[], []];
  let next = 0;
  const put = (row, key) => (toRows.push(row), toKeys.push(key));
  const place = () => {
    while (next < placed.length && placed[next].at <= toRows.length) put(placed[next].row, placed[next++].key);
  };
  keys.forEach((key, at) => {
    place();
    const id = idOf(key);
    if (gone.has(id)) return;
    put(here.has(id) ? here.get(id).row : rows[at], key);
    here.delete(id);
  });
  place();
  for (; next < placed.length; next++) put(placed[next].row, placed[next].key);
  for (const one of here.values()) put(one.row, one.key);
  return [toRows, toKeys];
}

/** `rows` with the old objects where nothing changed; the old array if it is equal altogether. */
function keepIdentity(rows, keys, oldRows, oldKeys) {
  if (!Array.isArray(rows)) return equal(rows, oldRows) ? oldRows : rows;
  if (!Array.isArray(oldRows)) return Object.freeze(rows.slice());
  let at;
  if (keys && oldKeys) {
    at = new Map();
    oldKeys.forEach((key, i) => at.set(idOf(key), i));
  }
  let same = rows.length == oldRows.length;
  const next = rows.map((row, i) => {
    const old = oldRows[at ? at.get(idOf(keys[i])) : i];
    const kept = old !== undefined && equal(old, row) ? old : row;
    same = same && kept === oldRows[i] && (!at || idOf(keys[i]) === idOf(oldKeys[i]));
    return kept;
  });
  return same ? oldRows : Object.freeze(next);
}

/** What happened between two states of a list. */
function changeOf(oldRows, oldKeys, rows, keys) {
  if (!oldKeys || !keys || !oldRows) return { reset: true };
  let start = 0;
  let [endOld, end] = [oldKeys.length, keys.length];
  const same = (i, j) => oldRows[i] === rows[j] && idOf(oldKeys[i]) === idOf(keys[j]);
  while (start < end && start < endOld && same(start, start)) start++;
  while (end > start && endOld > start && same(endOld - 1, end - 1)) endOld--, end--;
  const old = new Map();
  for (let i = start; i < endOld; i++) old.set(idOf(oldKeys[i]), i);
  const change = { removed: [], added: [], changed: [] };
  for (let i = start; i < end; i++) {
    const id = idOf(keys[i]);
    if (!old.has(id)) change.added.push(keys[i]);
    else if (oldRows[old.get(id)] !== rows[i]) change.changed.push(keys[i]);
    old.delete(id);
  }
  for (const i of old.values()) change.removed.push(oldKeys[i]);
  return change;
}

/** How long a refused or ended Live waits, by code: first and longest wait, or when. */
function retryOf(code) {
  if (code == "RATE_LIMITED" || /^(INTERNAL_ERROR|BACKPRESSURE|UNAVAILABLE|OFFLINE)$/.test(code)) return [5000, 60000];
  if (/^(QUERY_NOT_DEFINED|BUCKET_NOT_DEFINED|queryUndefined|bucketDropped)$/.test(code)) return [1000, 30000];
  return /^(UNAUTHORIZED|FORBIDDEN|accessRevoked|subscription_cancelled)$/.test(code) ? "login" : "never";
}

/**
 * One live query. `host` is what `connect` lends: `send`, `subs` (handlers by
 * subscription id), `has(feature)`, `isUp()`, `options`, `lives`.
 */
function createLive(host, name, operation, fields, bucket, takes = {}) {
  let rows, keys; // as the server says
  let data, dataKeys; // as shown: with layers on them
  let told, toldKeys; // as the listeners know it
  let status = "loading", error, commit, epoch, window, snap;
  let seq, sub, delta, keyField, token, wantsKeys, resyncing, asked = 0;
  let tries = 0, since = 0, retryTimer, endTimer, scheduled = false;
  let layers = [];
  const listeners = new Set(), waiting = new Set();

  const wanted = () => listeners.size > 0;

  function changed() {
    snap = undefined;
    if (scheduled) return;
    scheduled = true;
    queueMicrotask(() => {
      scheduled = false;
      const change = changeOf(told, toldKeys, data, dataKeys);
      [told, toldKeys] = [data, dataKeys];
      for (const fn of [...listeners]) {
        if (!listeners.has(fn)) continue;
        try { fn(live.snapshot(), change); } catch (e) { report(e); }
      }
    });
  }

  function become(to, why) {
    if (to == status && why === error) return;
    [status, error] = [to, why];
    changed();
  }

  /** Shows what the server says with the layers on it. */
  function show() {
    let [r, k] = [rows, keys];
    for (const layer of layers) if (Array.isArray(r)) [r, k] = layer.put(r, k, keyField);
    const next = keepIdentity(r, k, data, dataKeys);
    if (next !== data) [data, dataKeys] = [next, k], changed();
  }

  function adopt(value, newKeys) {
    rows = keepIdentity(value, newKeys, rows, keys);
    keys = newKeys;
  }

  function settle(message) {
    if (message?.commit != null) commit = message.commit, epoch = host.epoch(), snap = undefined;
    layers = layers.filter((layer) => !layer.isDone(commit, epoch, !!message));
    show();
    poke();
  }

  function poke(why) {
    for (const one of [...waiting]) if (one(why)) waiting.delete(one);
  }

  function failed(why, retryAfter) {
    forget();
    become("error", why);
    poke(why);
    const how = retryOf(why.code);
    if (typeof how == "string" || !wanted()) return;
    clearTimeout(retryTimer);
    retryTimer = later(start, retryAfter ?? why.retryAfterMs ?? Math.min(how[1], how[0] * 2 ** tries++));
  }

  function forget() {
    host.subs.delete(sub);
    sub = seq = undefined;
    resyncing = false;
    asked++;
  }

  function answered(why, answer, message) {
    if (why) return failed(why);
    forget();
    clearTimeout(retryTimer);
    tries = 0;
    sub = answer.subscriptionId;
    host.subs.set(sub, push);
    delta = answer.mode == "delta";
    keyField = answer.key;
    seq = answer.seq;
    since = Date.now();
    window = answer.window;
    if (!answer.resumed) adopt(answer.shape == "value" ? answer.data ?? null : answer.data, answer.keys);
    else if (answer.removed || answer.changed) change(answer);
    [token, wantsKeys] = [answer.resume?.token, answer.resume?.keys];
    become("live");
    settle({ commit: message.commit ?? answer.resume?.commit });
  }

  function change(part) {
    const [r, k] = applyDelta(rows, keys, part);
    adopt(r, k);
  }

  function resync() {
    if (resyncing) return;
    resyncing = true;
    become("stale");
    const mine = asked;
    host.send("store.resync", { subscriptionId: sub }, (why, answer, message) => {
      if (mine != asked) return;
      resyncing = false;
      if (why) return why.code == "OFFLINE" || failed(why, 100);
      seq = answer.seq;
      adopt("value" in answer ? answer.value : answer.data, answer.keys);
      if (answer.resume) token = answer.resume.token;
      become("live");
      settle(message);
    });
  }

  /** Its answer has its place among the pushes. */
  const moveWindow = (to) =>
    new Promise((resolve, reject) =>
      host.send("store.moveWindow", { subscriptionId: sub, ...to }, (why, answer, message) => {
        if (why) return reject(why);
        window = answer.window;
        seq = answer.seq;
        if (answer.reset) adopt(answer.data, answer.keys);
        else change(answer);
        if (answer.resume) token = answer.resume.token;
        changed();
        settle(message);
        resolve();
      }));

  function push(message) {
    const part = message.data;
    if (message.token) token = message.token;
    if (message.event) return failed(new NoexdError(message.event, message.reason));
    if (delta && part?.closed) return failed(new NoexdError(part.closed, `The subscription ended: ${part.closed}`));
    if (resyncing) return;
    if (!delta) adopt(part ?? null);
    else if (part.reset) seq = part.seq, adopt("value" in part ? part.value : part.data, part.keys);
    else if (part.seq <= seq) return;
    else if (part.seq > seq + 1) return resync();
    else {
      seq = part.seq;
      if ("value" in part) adopt(part.value);
      else change(part);
    }
    settle(message);
  }

  /** Subscribes, or will when there is a connection. */
  function start() {
    clearTimeout(retryTimer);
    if (wanted() && host.isUp()) host.send(operation, live.fields(), live.answered());
    else host.wake();
  }

  function end() {
    if (wanted()) return;
    if (sub && host.isUp()) host.send(operation == "logic.subscribeView" ? "logic.unsubscribeView" : "store.unsubscribe", { subscriptionId: sub }, () => {});
    forget();
    clearTimeout(retryTimer);
    if (host.lives.get(name) === live) host.lives.delete(name);
  }

  function hold(fn) {
    const first = !wanted();
    listeners.add(fn);
    clearTimeout(endTimer);
    if (!first) return;
    if (!host.lives.has(name)) host.lives.set(name, live);
    if (!sub) start();
  }

  function release(fn) {
    if (listeners.delete(fn) && !wanted()) endTimer = later(end, host.options.keepMs);
  }

  /**
   * For servers without numbers: the pushes of a request stand before the next
   * answer, but for a subscription that is so young that its first one waits.
   */
  const caughtUp = () =>
    new Promise((resolve) => host.send("ping", {}, () => later(resolve, Math.max(0, since + FIRST_PUSH_MS - Date.now()))));

  /** Holds the Live until `test` says so; a refusal rejects. */
  const until = (test) =>
    new Promise((resolve, reject) => {
      const held = () => {};
      const check = (why) => {
        const done = why || test();
        if (done) release(held), why ? reject(why) : resolve(data);
        return done;
      };
      hold(held);
      if (!check(host.isClosed() ? new NoexdError("CLOSED") : status == "error" ? error : undefined)) waiting.add(check);
    });

  const live = {
    get data() { return data; },
    get status() { return status; },
    get error() { return error; },
    get commit() { return commit; },
    get window() { return window; },
    snapshot: () => (snap ??= Object.freeze({ data, status, error, commit, window })),
    subscribe(fn) {
      // The same function twice is two listeners.
      const listener = (s, c) => fn(s, c);
      hold(listener);
      if (data !== undefined) {
        try { fn(live.snapshot(), { reset: true }); } catch (e) { report(e); }
      }
      return () => release(listener);
    },
    loaded: () => until(() => data !== undefined && status == "live"),
    reached(to) {
      const at = host.epoch();
      let due = false;
      if (at == null) caughtUp().then(() => ((due = true), poke()));
      return until(() => due || (at != null && epoch !== at) || commit >= to).then(() => {});
    },
    retry() { tries = 0; if (!sub) start(); },
    async move(to) {
      const isAnswered = () => status == "live" && sub;
      const unsupported = (text) => { throw new NoexdError("UNSUPPORTED", text); };
      // An answer that is under way is waited for. Who has not asked yet asks for
      // the window at once.
      if (wanted() && host.isUp() && status != "error") await until(isAnswered);
      if (sub && !host.has("window")) unsupported("No windows on the server");
      if (sub && !keyField) unsupported("Only rows have windows");
      const next = { offset: 0, limit: 50, ...window, ...to };
      if (sub && window) return moveWindow(next);
      if (sub) host.send("store.unsubscribe", { subscriptionId: sub }, () => {});
      forget();
      [window, token] = [next, undefined];
      if (status == "error") become(data === undefined ? "loading" : "stale");
      start();
      try {
        await until(isAnswered);
      } catch (e) {
        if (e.code == "VALIDATION_ERROR") window = undefined, start();
        throw e;
      }
      if (!window) unsupported("No windows on the server");
    },
    async *[Symbol.asyncIterator]() {
      let wake, ended = false, shown;
      const stop = live.subscribe(() => wake?.());
      const closing = () => ((ended = true), wake?.());
      host.closers.add(closing);
      try {
        while (!ended) {
          if (data !== undefined && data !== shown) yield (shown = data);
          else await new Promise((resolve) => { wake = resolve; });
        }
      } finally {
        host.closers.delete(closing);
        stop();
      }
    },
  };

  // For `connect` only: not enumerable, and in no declaration.
  const inner = {
    operation, wanted, start, settle, push, caughtUp, takes: () => takes, take: (o) => Object.assign(takes, o), bucket: () => bucket,
    keys: () => dataKeys, keyField: () => keyField,
    fields() {
      const all = { ...fields };
      if (operation != "logic.subscribeView") all.mode = "delta", all.positions = true;
      if (window) all.window = window;
      all.resume = token ? { token, commit, ...(wantsKeys && keys ? { keys } : {}) } : {};
      return all;
    },
    answered() {
      const mine = ++asked;
      return (why, answer, message) => {
        if (mine == asked) wanted() || !answer ? answered(why, answer, message)
          : host.send("store.unsubscribe", { subscriptionId: answer.subscriptionId }, () => {});
      };
    },
    lost() { forget(); clearTimeout(retryTimer); },
    // Who was away is not, if it has been answered before the client calls itself online.
    stale(wasAway) { if (status == "live" && !(wasAway && sub)) become("stale"); },
    bookmark(to) { if (sub && !resyncing && commit != null && to > commit) settle({ commit: to }); },
    refused: () => (status == "error" ? retryOf(error.code) : "no"),
    close(why) { inner.lost(); clearTimeout(endTimer); inner.stale(); poke(why); },
    addLayer(layer) { if (layers.length < 100) layers.push(layer), show(); },
    dropLayer(layer) { layers = layers.filter((one) => one !== layer); show(); },
    resync: () => sub && delta && resync(),
    dump: () => data === undefined ? undefined : { data: rows, keys, token, commit, keyField },
    hydrate(from) {
      ({ token, commit, keyField } = from);
      adopt(from.data, from.keys);
      status = "stale";
      show();
    },
  };
  for (const method of Object.keys(inner)) Object.defineProperty(live, method, { value: inner[method] });
  endTimer = later(end, host.options.keepMs);
  return live;
}

const QUEUEABLE = /^(store\.(insert|insertMany|update|updateMany|upsert|delete|deleteMany|clear|transaction)|rules\.(emit|setFact|deleteFact)|procedures\.call)$/;
/** What changes nothing may be sent again after a break. */
const READ = /\.(get|list|find|query|explain|validate|my|who)\w*$|\.(all|where|count|first|last|paginate|sum|avg|min|max|groupBy|buckets|stats|backups|connections|metrics|top|views|insights|sync)$|^ping$/;
const QUEUE_ENTRIES = 1000;
const QUEUE_BYTES = 1048576;
const IN_FLIGHT_WRITES = 32;
const IN_FLIGHT = 256;

/** The server's address: absolute, or seen from where this file came from. */
function addressOf(url) {
  const here = import.meta.url;
  const isLocal = !/^https?:/.test(here);
  let address;
  try { address = new URL(url ?? "/", isLocal ? undefined : here); } catch {
    throw new NoexdError("NO_URL", "connect() needs the server's URL: this file was not loaded from a server");
  }
  if (url == null) address.pathname = "/";
  address.protocol = address.protocol.replace("http", "ws");
  address.hash = "";
  return address.href;
}

/** Where tokens are kept. A store that throws is memory. */
function tokensOf(kind, url) {
  let memory;
  const name = "noexd:" + url;
  const web = kind == "local" ? () => localStorage : kind == "session" ? () => sessionStorage : undefined;
  const store = web ? {
    get: () => web().getItem(name), set: (token) => web().setItem(name, token), delete: () => web().removeItem(name),
  } : typeof kind == "object" ? kind : { get: () => memory, set() {}, delete() {} };
  const safe = async (fn) => { try { return await fn(); } catch { return memory; } };
  return {
    name: kind == "local" && name,
    get: () => safe(() => store.get()),
    set: (token) => ((memory = token), safe(() => store.set(token))),
    delete: () => ((memory = undefined), safe(() => store.delete())),
  };
}

/**
 * The queue of changes, in order. `link` is what `connect` lends: `transmit`,
 * `isOnline()`, `userId()`, `isOnce()`, `options`, `tell(event, …)`, `lives`,
 * `sync()`, `epoch()`.
 */
function createWrites(link) {
  const queue = [];
  const { options } = link;
  const store = typeof options.queue == "object" ? options.queue : undefined;
  let session = newId(), known = false, counter = 0, bytes = 0;

  const stateOf = (w) => ({ n: w.n, type: w.type, fields: w.fields, sent: w.sent || w.wasSent, parked: !!w.parked });

  function remove(w) {
    const at = queue.indexOf(w);
    if (at < 0) return;
    queue.splice(at, 1);
    bytes -= w.bytes;
    store?.delete(w.n);
  }

  /** The end of a promise: the entry itself may go on. */
  function settle(w, why, value, message) {
    clearTimeout(w.timer);
    w.signal?.removeEventListener("abort", w.abort);
    if (!w.settled) why ? w.reject(why) : w.resolve(value);
    w.settled = true;
    link.tell("write", { n: w.n, type: w.type, state: why ? "rejected" : "done", error: why });
    if (message) w.onCommit?.(message.commit);
    w.layer?.(why, message);
  }

  function finish(w, why, value, message) {
    remove(w);
    settle(w, why, value, message);
    pump();
  }

  const unknown = (w) => fault("UNKNOWN_OUTCOME", "The connection ended before the answer", w.type);
  const repeats = (w) => link.isOnce() && w.once;

  function answered(w, why, value, message) {
    if (why?.code == "UNAVAILABLE") {
      if (repeats(w)) {
        w.sent = false;
        w.heldUntil = later(() => ((w.heldUntil = 0), pump()), why.retryAfterMs ?? 1000);
        return;
      }
      if (!why.retryable) why = unknown(w);
    }
    finish(w, why, value, message);
  }

  function pump() {
    if (!link.isOnline()) return;
    const user = link.userId();
    let out = queue.filter((w) => w.sent).length;
    let isBlocked = false;
    for (const w of [...queue]) {
      if (out >= IN_FLIGHT_WRITES || w.heldUntil) return;
      if (w.sent) continue;
      if (w.user === undefined) w.user = user;
      w.parked = w.user !== user;
      if (w.parked) continue;
      // That it may have been sent is stored before it is.
      if (store && w.stored && !w.marked) w.marked = true, keep(w);
      isBlocked = isBlocked || !w.stored;
      if (isBlocked) {
        out++;
        continue;
      }
      w.sent = w.wasSent = true;
      out++;
      link.transmit({ type: w.type, fields: w.fields, once: repeats(w) ? w.n : undefined, write: w,
        done: (why, value, message) => answered(w, why, value, message) });
    }
  }

  /** What was sent and not answered ends here; the rest gets the numbers of a new session. */
  function renew() {
    session = newId();
    [known, counter] = [false, 0];
    for (const w of queue.filter((one) => one.wasSent)) finish(w, unknown(w));
    store?.session(session);
    for (const w of queue) (w.n = ++counter), (w.marked = false), keep(w);
  }

  function keep(w) {
    w.stored = !store;
    store?.put({ n: w.n, type: w.type, fields: w.fields, user: w.user, wasSent: !!w.marked })
      .then(() => ((w.stored = true), pump()), (why) => finish(w, why));
  }

  function add(type, fields, o = {}) {
    return new Promise((resolve, reject) => {
      const size = JSON.stringify(fields).length;
      if (queue.length >= QUEUE_ENTRIES || bytes + size > QUEUE_BYTES) {
        return reject(fault("QUEUE_FULL", "Too many changes wait for the connection", type));
      }
      const w = { n: ++counter, type, fields, resolve, reject, bytes: size, user: link.userId(), once: o.once !== false, signal: o.signal, onCommit: o.onCommit };
      bytes += size;
      const cut = (code) => () => {
        if (w.settled) return;
        if (w.sent || w.wasSent) settle(w, unknown(w));
        else finish(w, fault(code, undefined, type));
      };
      w.abort = cut("ABORTED");
      if (o.timeoutMs) w.timer = later(cut("TIMEOUT"), o.timeoutMs);
      if (o.signal?.aborted) queueMicrotask(w.abort);
      o.signal?.addEventListener("abort", w.abort);
      queue.push(w);
      if (o.optimistic) w.layer = layOver(link, w, o.optimistic);
      keep(w);
      pump();
    });
  }

  return {
    add, pump, renew,
    pending: () => queue.map(stateOf),
    session: () => session,
    known: () => known,
    opened() { known = true; store?.session(session, true); },
    isEmpty: () => !queue.length,
    /** Without `once` nobody can say what became of what was sent. */
    lost() {
      for (const w of [...queue]) {
        if (!w.sent) continue;
        w.sent = false;
        if (!repeats(w)) finish(w, unknown(w));
      }
    },
    /** The server that is there now does not number: sent before means unknown. */
    unnumbered() { for (const w of queue.filter((one) => one.wasSent)) finish(w, unknown(w)); },
    async restore() {
      const old = await store?.load(session);
      if (!old) return;
      [session, known] = [old.session, old.known];
      for (const one of old.writes) {
        const w = { ...one, marked: one.wasSent, resolve() {}, reject() {}, bytes: JSON.stringify(one.fields).length, once: true, stored: true };
        queue.push(w);
        bytes += w.bytes;
        counter = Math.max(counter, w.n);
      }
    },
    close(why) {
      for (const w of queue) settle(w, w.wasSent ? unknown(w) : why);
      queue.length = 0;
      store?.close();
    },
  };
}

/**
 * Shows a write before the server does. Returns what is to be called with its
 * outcome: the layer then lies until its Live is at or beyond the commit.
 */
function layOver(link, w, optimistic) {
  const laid = new Map();
  const { type, fields } = w;
  const end = { commit: undefined, epoch: undefined, answered: false };
  const isDone = (layer) => (commit, epoch, isNews) =>
    end.answered && (layer.due || (end.commit == null ? isNews : epoch !== end.epoch || commit >= end.commit));
  const lay = (live, put) => {
    const layer = { put };
    layer.isDone = isDone(layer);
    laid.set(live, layer);
    live.addLayer(layer);
  };
  if (typeof optimistic == "function") {
    optimistic((live, fn) => lay(live, (rows, keys, keyField) => {
      const keyOf = new Map(rows.map((row, i) => [row, keys?.[i]]));
      const next = fn(rows);
      return [next, keys && next.map((row, i) => keyOf.get(row) ?? row[keyField] ?? keys[i] ?? `new-${i}`)];
    }));
  } else {
    const temporary = Symbol("new");
    for (const live of link.lives.values()) {
      if (live.bucket() == fields.bucket) lay(live, (rows, keys, keyField) => overlay(live, type, fields, temporary, rows, keys, keyField));
    }
  }
  return (why, message) => {
    if (why) {
      for (const [live, layer] of laid) {
        live.dropLayer(layer);
        if (why.code == "UNKNOWN_OUTCOME") live.resync();
      }
      return;
    }
    Object.assign(end, { answered: true, commit: message?.commit, epoch: link.epoch() });
    if (end.commit != null) link.sync();
    else laid.forEach((layer, live) => live.caughtUp().then(() => ((layer.due = true), live.settle())));
    for (const live of laid.keys()) live.settle();
  };
}

/** The rows of one Live with one insert, update or delete on them. */
function overlay(live, type, fields, temporary, rows, keys, keyField) {
  if (!keys) return [rows, keys];
  const { accepts, place } = live.takes();
  const id = idOf(fields.key ?? (fields.data?.[keyField] ?? null));
  const at = keys.findIndex((key) => idOf(key) === id);
  const without = () => [rows.filter((_, i) => i != at), keys.filter((_, i) => i != at)];
  if (type == "store.delete") return at < 0 ? [rows, keys] : without();
  if (type == "store.update" && at >= 0) {
    const row = { ...rows[at], ...fields.data };
    return accepts && !accepts(row) ? without() : [rows.map((old, i) => (i == at ? row : old)), keys];
  }
  if (type != "store.insert" || at >= 0 || !accepts?.(fields.data)) return [rows, keys];
  const row = fields.data;
  let to = place == "start" ? 0 : rows.length;
  if (typeof place == "function") to = rows.findIndex((old) => place(row, old) < 0);
  if (to < 0) to = rows.length;
  const key = row[keyField] ?? temporary;
  return [[...rows.slice(0, to), row, ...rows.slice(to)], [...keys.slice(0, to), key, ...keys.slice(to)]];
}

const DEFAULTS = {
  tokenStore: "memory", queue: "memory", timeoutMs: 10000, connectTimeoutMs: 10000, staleAfterMs: 1000,
  keepMs: 5000, hiddenMs: 0, maxMessageBytes: 1048576,
};

export function connect(url, given = {}) {
  const options = { ...DEFAULTS, ...given, retry: { minMs: 100, baseMs: 1500, maxMs: 30000, ...given.retry } };
  const address = addressOf(url);
  const Socket = options.WebSocket ?? globalThis.WebSocket;
  const lives = new Map(), subs = new Map(), topics = new Map(), closers = new Set(), handlers = new Map();
  const unanswered = new Map();
  const tokens = tokensOf(options.tokenStore, address);
  let auth = options.auth ?? {};
  let status = "idle", reason, user = null, socket, epoch, features = new Set();
  let nextId = 1, backlog = [], isOpen = false, isSigned = false, isOnce = false, heartbeatMs, lastPing;
  let attempt = 0, full = 0, bugs = [], onlineSince = 0, heard = 0, hastened = 0, retryAfter, syncing = false;
  let retryTimer, watchdog, refreshTimer, staleTimer, connectTimer, hiddenTimer;
  let isReady, notReady;
  const ready = new Promise((resolve, reject) => { [isReady, notReady] = [resolve, reject]; });
  ready.catch(() => {});

  const tell = (event, ...args) => {
    for (const fn of handlers.get(event) ?? []) try { fn(...args); } catch (e) { report(e); }
  };
  const note = (level, text, data) => options.log?.(level, text, data);
  function become(to, why) {
    if (status == to) return;
    [status, reason] = [to, why];
    note("info", to, why);
    tell("status", to, why);
  }
  function setUser(to) {
    if (equal(user, to)) return;
    user = to;
    tell("user", user);
    writes.pump();
  }

  // Requests

  function transmit(entry) {
    entry.id = nextId++;
    entry.sent = true;
    unanswered.set(entry.id, entry);
    const { type, fields, once } = entry;
    socket.send(JSON.stringify({ ...fields, id: entry.id, type, ...(once && { once }) }));
  }

  /** On this connection or not at all. */
  function send(type, fields, done) {
    if (isOpen) transmit({ type, fields, done });
    else done(fault("OFFLINE", "Not connected", type));
  }
  const ask = (type, fields) =>
    new Promise((resolve, reject) => send(type, fields, (why, value) => (why ? reject(why) : resolve(value))));

  function pump() {
    while (isOpen && status == "online" && backlog.length && unanswered.size < IN_FLIGHT) transmit(backlog.shift());
  }

  function request(type, fields = {}, o = {}) {
    if (status == "closed") return Promise.reject(fault("CLOSED", reason, type));
    if (new Blob([JSON.stringify(fields)]).size + 64 > options.maxMessageBytes) {
      return Promise.reject(fault("TOO_LARGE", `More than ${options.maxMessageBytes} bytes`, type));
    }
    wake();
    if (options.queue && QUEUEABLE.test(type)) return isRestored ? writes.add(type, fields, o) : restoring.then(() => writes.add(type, fields, o));
    const isRead = READ.test(type);
    if (!isRead && status == "waiting") {
      return Promise.reject(fault("OFFLINE", "Not connected", type));
    }
    return new Promise((resolve, reject) => {
      const entry = { type, fields, isRead };
      entry.done = (why, value) => {
        clearTimeout(timer);
        o.signal?.removeEventListener("abort", abort);
        backlog = backlog.filter((one) => one != entry);
        why ? reject(why) : resolve(value);
      };
      const cut = (code) => () => {
        entry.done(fault(entry.sent && !isRead ? "UNKNOWN_OUTCOME" : code, undefined, type));
        entry.done = () => {};
      };
      const abort = cut("ABORTED");
      const timer = later(cut("TIMEOUT"), o.timeoutMs ?? options.timeoutMs);
      if (o.signal?.aborted) return abort();
      o.signal?.addEventListener("abort", abort);
      backlog.push(entry);
      pump();
    });
  }

  // The connection

  function wake() {
    if (status == "idle" && Socket) isRestored ? open() : restoring.then(() => status == "idle" && open());
    else if (status == "idle") throw new NoexdError("NO_WEBSOCKET", "There is no WebSocket here: pass { WebSocket } (package ws), or Node 22");
  }

  function open() {
    clearTimeout(retryTimer);
    become("connecting");
    [socket, lastPing, heartbeatMs] = [new Socket(address), undefined, undefined];
    const mine = socket;
    mine.onmessage = (event) => mine === socket && received(event.data);
    mine.onclose = (event) => mine === socket && closed(event.code, event.reason);
    mine.onerror = () => {};
    connectTimer = later(() => drop(), options.connectTimeoutMs);
  }

  /** Does not wait for a closing handshake that may never come. */
  function drop(code = 1006, text = "") {
    const old = socket;
    if (!old) return;
    closed(code, text);
    try { old.close(); } catch { /* not open yet */ }
  }

  function received(text) {
    heard = Date.now();
    let message;
    try { message = JSON.parse(text); } catch {
      return tell("error", new NoexdError("PARSE_ERROR", "Unreadable message from the server"));
    }
    const { type, id } = message;
    if (type == "result" || type == "error") {
      const entry = unanswered.get(id);
      unanswered.delete(id);
      const why = type == "error" ? new NoexdError(message.code, message.message, message.details, entry?.type) : undefined;
      if (why && /expired/.test(why.message) && why.code == "UNAUTHORIZED" && user) expired();
      if (entry) entry.done(why, message.data, message);
      else if (why && !id) tell("error", why);
      pump();
    } else if (type == "push") subs.get(message.subscriptionId)?.(message);
    else if (type == "ping") pinged(message);
    else if (type == "welcome") welcomed();
    else if (type == "system") {
      if (message.event == "shutdown") retryAfter = message.retryAfterMs;
      else if (message.event == "session_revoked") retryAfter = { final: message.reason };
      else subs.get(message.subscriptionId)?.(message);
      tell("system", message);
    }
  }

  function pinged({ timestamp, commit }) {
    socket.send(JSON.stringify({ type: "pong", timestamp }));
    if (lastPing && !heartbeatMs) heartbeatMs = timestamp - lastPing, watch();
    lastPing = timestamp;
    if (commit != null) for (const live of lives.values()) live.bookmark(commit);
  }

  function watch() {
    clearTimeout(watchdog);
    const left = heard + (heartbeatMs ? 2 * heartbeatMs + 5000 : 75000) - Date.now();
    watchdog = later(() => (left <= 0 ? drop() : watch()), Math.max(left, 50));
  }

  async function welcomed() {
    clearTimeout(connectTimer);
    const mine = socket;
    isOpen = true;
    watch();
    const isSure = await signIn();
    if (mine !== socket) return;
    if (isSure) burst();
    else drop();
  }

  function burst() {
    isSigned = true;
    const queued = !!options.queue;
    const resume = queued && writes.known();
    send("session.open", {
      commits: true, events: true, ...(queued ? { session: writes.session(), once: true } : {}), ...(resume ? { resume } : {}),
    }, (why, answer) => opened(why, answer, resume));
    const many = [...lives.values()].filter((live) => live.wanted() && live.refused() != "never");
    if (features.has("many") && many.length) subscribeMany(many);
    else for (const live of many) live.start();
    for (const topic of topics.values()) topic.start();
  }

  function opened(why, answer, resumed) {
    if (why?.code == "OFFLINE") return;
    if (why?.code == "UNAVAILABLE") return later(() => isOpen && burst(), why.retryAfterMs ?? 1000);
    if (why?.code == "NOT_FOUND" && resumed) {
      writes.renew();
      return send("session.open", { commits: true, events: true, session: writes.session(), once: true },
        (again, data) => opened(again, data, false));
    }
    isOnce = !why && !!options.queue;
    features = new Set(answer?.features);
    epoch = answer?.epoch;
    if (answer?.heartbeatMs) heartbeatMs = answer.heartbeatMs, watch();
    if (isOnce) writes.opened();
    else writes.unnumbered();
    staleTimer = clearTimeout(staleTimer);
    onlineSince = Date.now();
    full = 0;
    become("online");
    isReady();
    pump();
    writes.pump();
  }

  function subscribeMany(list) {
    const most = 100;
    for (let at = 0; at < list.length; at += most) {
      const part = list.slice(at, at + most).map((live) => [live, live.answered()]);
      const subscriptions = part.map(([live]) => ({ type: live.operation, ...live.fields() }));
      send("store.subscribeMany", { subscriptions }, (why, answer, message) => {
        if (why?.code == "OFFLINE") return;
        part.forEach(([live, answered], i) => {
          const one = answer?.results[i];
          // What was too much together, or is unknown here, is asked for singly.
          if (why || /costly|too large/.test(one.error?.message)) return live.start();
          const { error } = one;
          answered(error && new NoexdError(error.code, error.message, error.details), error ? undefined : one, message);
        });
      });
    }
  }

  /** The table of close codes. */
  function closed(code, text) {
    const first = unanswered.values().next().value;
    const wasUp = isOpen;
    let least = 0, most, final;
    for (const timer of [watchdog, connectTimer, refreshTimer]) clearTimeout(timer);
    [socket, isOpen, isSigned, syncing] = [undefined, false, false, false];
    if (code == 1009 && first) {
      first.done(fault("TOO_LARGE", "The server takes no message of this length", first.type));
      unanswered.delete(first.id);
      most = 0;
    } else if (code == 1011 && text == "internal_error" && first) {
      const culprit = first.write ?? first;
      culprit.strikes = (culprit.strikes ?? 0) + 1;
      if (culprit.strikes > 1) {
        first.done(fault("INTERNAL_ERROR", "The server failed twice at this request", first.type));
        unanswered.delete(first.id);
      }
    } else if (code == 1011 || code == 1013) least = 5000;
    else if (code == 4003) least = most = Math.min(60000, 5000 * 2 ** full++);
    else if (code == 4002) final = retryAfter?.final ?? text;
    else if (/^100[2378]$/.test(code)) {
      bugs = [...bugs.filter((at) => at > Date.now() - 300000), Date.now()];
      if (bugs.length > 3) final = "protocol";
    }
    if (wasUp && !staleTimer) {
      staleTimer = later(() => ((staleTimer = 0), lives.forEach((live) => live.stale(true))), options.staleAfterMs);
    }
    const reads = [];
    for (const entry of unanswered.values()) {
      if (entry.isRead) reads.push(entry);
      else if (!entry.write) entry.done(fault(entry.isRead === false ? "UNKNOWN_OUTCOME" : "OFFLINE", "The connection ended", entry.type));
    }
    backlog.filter((one) => !one.isRead).forEach((one) => one.done(fault("OFFLINE", "Not connected", one.type)));
    backlog = [...reads, ...backlog];
    unanswered.clear();
    subs.clear();
    writes.lost();
    if (code == 4004) writes.renew();
    for (const live of lives.values()) live.lost();
    for (const topic of topics.values()) topic.lost();
    if (code == 4002) auth = {}, tokens.delete(), setUser(null);
    if (status == "closed") return;
    if (final != null) return finish(final);
    if (onlineSince && Date.now() - onlineSince > 30000) attempt = 0;
    onlineSince = 0;
    const { minMs, baseMs, maxMs } = options.retry;
    most ??= retryAfter > 0 ? retryAfter : Math.max(minMs, Math.min(maxMs, baseMs * 2 ** attempt++));
    const from = most == 0 || retryAfter > 0 ? 0 : Math.min(minMs, most);
    retryAfter = undefined;
    become("waiting", text || `${code}`);
    retryTimer = later(open, Math.max(least, random(from, most)));
  }

  /** A sign of life of the network or the page. */
  function hasten() {
    if (status == "waiting" && !(Date.now() - hastened < 2000) && full == 0) {
      hastened = Date.now();
      clearTimeout(retryTimer);
      retryTimer = later(open, random(0, 300));
    } else if (status == "online" && Date.now() - heard > 10000) {
      const timer = later(() => drop(), 4000);
      send("ping", {}, () => clearTimeout(timer));
    }
  }

  const listeners = [];
  function listen(target, type, fn) {
    if (!target?.addEventListener) return;
    target.addEventListener(type, fn);
    listeners.push(() => target.removeEventListener(type, fn));
  }
  const page = globalThis.document;
  listen(globalThis, "online", hasten);
  listen(globalThis, "pageshow", () => (status == "idle" ? lives.size && open() : hasten()));
  listen(globalThis, "pagehide", rest);
  listen(page, "visibilitychange", () => {
    clearTimeout(hiddenTimer);
    if (page.visibilityState == "visible") status == "idle" && lives.size ? open() : hasten();
    else if (options.hiddenMs > 0) hiddenTimer = later(rest, options.hiddenMs);
  });
  if (tokens.name) listen(globalThis, "storage", (event) => {
    if (event.key == tokens.name && isOpen) event.newValue ? login({ token: event.newValue }).catch(() => {}) : logout(true);
  });

  /** Closes the socket until somebody needs it. */
  function rest() {
    if (status == "closed" || status == "idle") return;
    drop(1001, "resting");
    clearTimeout(retryTimer);
    become("idle");
  }

  function finish(why) {
    if (status == "closed") return;
    const error = new NoexdError("CLOSED", why || "closed");
    become("closed", why);
    for (const timer of [retryTimer, staleTimer, hiddenTimer]) clearTimeout(timer);
    listeners.forEach((stop) => stop());
    for (const entry of backlog) entry.done(error);
    for (const live of lives.values()) live.close(error);
    for (const stop of closers) stop();
    writes.close(error);
    notReady(error);
  }

  // The login

  async function adopted(answer) {
    const who = answer.user ?? {};
    setUser({ userId: answer.userId ?? who.id, roles: answer.roles ?? who.roles ?? [], expiresAt: answer.expiresAt ?? null });
    if (answer.token) await tokens.set(answer.token);
    const left = user.expiresAt && user.expiresAt - Date.now();
    clearTimeout(refreshTimer);
    if (!left) return user;
    const wait = auth.getToken ? left - 30000 : left * random(0.75, 0.85);
    refreshTimer = later(renewLogin, Math.min(Math.max(wait, 1000), 2 ** 31 - 1));
    return user;
  }

  async function renewLogin() {
    try {
      if (auth.getToken) await tryLogin({ token: await auth.getToken() });
      else if (await tokens.get()) await adopted(await ask("identity.refreshSession", {}));
    } catch (error) { note("warn", "the login was not renewed", error); }
  }

  const tryLogin = ({ token, username, password, secret }) =>
    (token ? ask("auth.login", { token })
      : secret ? ask("identity.loginWithSecret", { secret })
      : ask("identity.login", { username, password })).then(adopted);

  /** With what there is: the kept token first. False: this connection is of no use. */
  async function signIn() {
    const kept = await tokens.get();
    const { password, getToken } = auth;
    try {
      if (kept) return await tryLogin({ token: kept }), true;
    } catch (error) {
      if (error.code == "OFFLINE") return false;
      if (/UNAUTHORIZED|REVOKED/.test(error.code)) await tokens.delete();
    }
    try {
      const token = getToken && (await getToken());
      if (token || (!getToken && (auth.token || auth.secret || password))) await tryLogin(token ? { token } : auth);
      else setUser(null);
      // Used once and not kept.
      if (password) auth = {};
    } catch (error) {
      if (error.code == "OFFLINE") return false;
      note("warn", "the login failed", error);
      tell("error", error);
      setUser(null);
    }
    return true;
  }

  async function expired() {
    setUser(null);
    lives.forEach((live) => live.stale());
    if (await signIn() && user) renewed();
  }

  /** A login may open what was refused. */
  function renewed() {
    for (const live of lives.values()) if (live.wanted() && live.refused() == "login") live.start();
    for (const topic of topics.values()) topic.start();
    writes.pump();
  }

  async function login(credentials) {
    wake();
    if (status != "online") await ready.then(() => status == "online" || Promise.reject(new NoexdError("OFFLINE", "Not connected")));
    const who = await tryLogin(credentials);
    auth = credentials.password || credentials.secret ? {} : credentials;
    if (credentials.token) await tokens.set(credentials.token);
    renewed();
    return who;
  }

  async function logout(isElsewhere) {
    auth = {};
    clearTimeout(refreshTimer);
    await tokens.delete();
    if (isOpen && isElsewhere !== true) await ask("auth.logout", {}).catch(() => {});
    setUser(null);
    lives.forEach((live) => live.stale());
  }

  // Live queries, events

  /** Asks how far the pushes have come, for layers on Lives that nothing changes. */
  function sync() {
    if (syncing || !isOnce) return;
    syncing = true;
    send("session.sync", {}, (why, answer) => {
      syncing = false;
      if (why) return;
      for (const live of lives.values()) if (answer.complete) live.bookmark(answer.commit);
      if (!answer.complete) later(sync, 50);
    });
  }

  const host = {
    send, subs, lives, closers, options, wake,
    has: (feature) => features.has(feature),
    isUp: () => isSigned,
    isClosed: () => status == "closed",
    epoch: () => epoch,
  };
  const writes = createWrites({
    transmit, options, tell, lives, sync,
    isOnline: () => isOpen && status == "online",
    isOnce: () => isOnce,
    userId: () => (status == "online" || user ? user?.userId ?? null : undefined),
    epoch: () => epoch,
  });

  function live(operation, fields, bucket, takes) {
    const name = canonical([operation, fields, bucket]);
    let one = lives.get(name);
    if (!one) lives.set(name, (one = createLive(host, name, operation, fields, bucket)));
    if (takes) one.take(takes);
    const kept = options.hydrate?.[name];
    if (kept && one.data === undefined) one.hydrate(kept);
    return one;
  }

  function events(pattern, on, onGap) {
    let topic = topics.get(pattern);
    if (!topic) topics.set(pattern, (topic = createTopic(host, pattern)));
    const listener = [on, onGap];
    topic.listeners.add(listener);
    if (topic.listeners.size == 1) wake(), topic.start();
    return () => {
      topic.listeners.delete(listener);
      if (topic.listeners.size || topics.get(pattern) != topic) return;
      topics.delete(pattern);
      topic.end();
    };
  }

  function watchAny(type, fields, on) {
    wake();
    return ready.then(() => new Promise((resolve, reject) => {
      send(type, fields, (why, answer) => {
        if (why) return reject(why);
        const id = answer.subscriptionId;
        subs.set(id, (message) => on(message.data));
        const family = type.split(".")[0];
        const undo = family == "logic" ? "logic.unsubscribeView" : type == "server.trace" ? "server.untrace" : `${family}.unsubscribe`;
        resolve(() => { if (subs.delete(id)) send(undo, { subscriptionId: id }, () => {}); });
      });
    }));
  }

  const client = {
    get status() { return status; },
    get reason() { return reason; },
    get user() { return user; },
    ready, request, events, login, logout,
    watch: watchAny,
    bucket: (name) => createBucket(client, name, live),
    live: (query, params) => live("store.subscribe", { query, params }),
    view: (name) => live("logic.subscribeView", { name }),
    call: (name, input, o) => request("procedures.call", { name, input }, o).then((answer) => answer?.result),
    transaction: (operations, o) =>
      request("store.transaction", { operations }, o).then((answer) => answer?.results.map((one) => one.data)),
    pending: () => writes.pending(),
    on(event, fn) {
      if (!handlers.has(event)) handlers.set(event, new Set());
      handlers.get(event).add(fn);
      return () => handlers.get(event).delete(fn);
    },
    snapshot() {
      const all = {};
      for (const [name, one] of lives) all[name] = one.dump();
      return all;
    },
    async close() {
      if (status == "closed") return;
      const old = socket;
      finish("closed");
      if (!old) return;
      await new Promise((resolve) => {
        old.onclose = resolve;
        old.onmessage = null;
        old.close(1000);
        later(resolve, 1000);
      });
      closed(1000, "");
    },
  };
  for (const family of ["store", "rules", "auth", "identity", "access", "procedures", "logic", "audit", "server"]) {
    client[family] = new Proxy({}, {
      get: (_, name) => typeof name == "string" && name != "then"
        ? (fields, o) => request(`${family}.${name}`, fields, o) : undefined,
    });
  }
  const isStored = typeof options.queue == "object";
  let isRestored = !isStored;
  const restoring = isStored ? writes.restore().catch(report).then(() => { isRestored = true; }) : Promise.resolve();
  if (!options.lazy && Socket) wake();
  // What other pages left behind goes over connections of its own.
  if (isStored) ready.then(() => options.queue.adopt?.((queue) => {
    const other = connect(url, { ...given, queue, lazy: false });
    other.on("write", (write) => {
      tell("write", write);
      if (!other.pending().length) other.close();
    });
  }), () => {});
  return client;
}

/** One pattern of events, shared by its listeners. */
function createTopic(host, pattern) {
  let id, had = false, asked = 0;
  const listeners = new Set();
  const start = () => {
    if (id || !host.isUp() || !listeners.size) return;
    const mine = ++asked;
    host.send("rules.subscribe", { pattern }, (why, answer) => {
      if (mine != asked || why) return;
      id = answer.subscriptionId;
      host.subs.set(id, received);
      if (had) each(1, null);
      had = true;
    });
  };
  const each = (which, ...args) => {
    for (const listener of listeners) try { listener[which]?.(...args); } catch (e) { report(e); }
  };
  const received = ({ data, event, count }) => {
    if (event) each(1, count ?? null);
    else if ("gap" in data) each(1, data.gap);
    else each(0, data.event, data.topic);
  };
  return {
    listeners, start,
    lost: () => ((id = undefined), asked++),
    end() { if (id) host.subs.delete(id), host.send("rules.unsubscribe", { subscriptionId: id }, () => {}); asked++; },
  };
}

/** Arguments of the operations of a bucket that take them one by one. */
const BUCKET = {
  insert: ["data"], get: ["key"], all: [], where: ["filter"], findOne: ["filter"], count: ["filter"], first: ["n"], last: ["n"],
  groupBy: ["field", "aggregate", "filter"], insertMany: ["data"], updateMany: ["filter", "data"], deleteMany: ["filter"], clear: [],
  sum: ["field", "filter"], avg: ["field", "filter"], min: ["field", "filter"], max: ["field", "filter"],
};

/** The operations of one bucket, under the names of the existing TypeScript client. */
function createBucket(db, bucket, live) {
  const ask = (name, fields, o) => db.request(`store.${name}`, { bucket, ...fields }, o);
  const self = {
    update: (key, data, { expect, apply, ...o } = {}) => ask("update", { key, data, expect, apply }, o),
    delete: (key, { expect, apply, ...o } = {}) => ask("delete", { key, expect, apply }, o),
    upsert: (data, { apply, onInsert, ...o } = {}) => ask("upsert", { data, apply, onInsert }, o),
    find: (config, o) => ask("find", config, o),
    paginate: (page, o) => ask("paginate", page, o),
    async *pages(limit) {
      for (let after, more = true; more; ) {
        const page = await ask("paginate", { limit, after });
        if (page.records.length) yield page.records;
        [after, more] = [page.nextCursor, page.hasMore];
      }
    },
    live: (what = {}, params, takes) =>
      typeof what == "string" ? live("store.subscribe", { query: what, params }, bucket, takes)
        : live("store.live", { bucket, ...what }, bucket, params),
  };
  for (const [name, names] of Object.entries(BUCKET)) {
    self[name] = (...given) => ask(name, Object.fromEntries(names.map((field, at) => [field, given[at]])), given[names.length]);
  }
  return self;
}
