// The client of noexd for browsers, workers, Node, Deno and Bun. It has no
// dependencies, and importing it does nothing. `noexd.d.ts` beside this file
// says what everything is for; docs/javascript.md is the manual.
//
// All that belongs to one client is in the closure of `connect`, because local
// names cost nothing when this is minified, and members do: docs/contributing.md
// says what each part weighs. Four sections: the requests and the queue of
// changes, the connection, the login, and the live queries, which follow the
// algorithm of docs/delta.md. Answers are handled by callbacks inside and never
// by promises: an answer and the pushes behind it may arrive in one turn, and
// have to be worked off in that order.

export const version = "0.1.0";

export class NoexdError extends Error {
  constructor(code, message = code, details, operation) {
    const [, ms] = /after (\d+) ?ms/.exec(message) ?? [];
    super(message);
    Object.assign(this, {
      name: "NoexdError", code, details, operation,
      issues: details?.issues ?? (Array.isArray(details) ? details : []),
      retryAfterMs: details?.retryAfterMs ?? (ms && +ms),
      retryable: /RATE_LIMITED|BACKPRESSURE|UNAVAILABLE|INTERNAL_ERROR|TIMEOUT|OFFLINE|QUEUE_FULL/.test(code) && (details?.outcome ?? "none") == "none",
    });
  }
}

/** What the client itself has to say, where nobody else said something. */
const TEXTS = {
  CLOSED: "The client is closed",
  OFFLINE: "Not connected",
  UNKNOWN_OUTCOME: "The connection ended before the answer",
  TIMEOUT: "No answer in time",
  QUEUE_FULL: "Too many changes wait",
  TOO_LARGE: "Longer than the server takes",
  PARSE_ERROR: "Unreadable message",
};

/** An error about an operation. */
const fault = (code, operation, text, details) => new NoexdError(code, text ?? TEXTS[code], details, operation);

/** How far a client is; what others see of it are the names. */
const CLOSED = 0, IDLE = 1, WAITING = 2, CONNECTING = 3, WELCOMED = 4, SIGNED = 5, ONLINE = 6;
const STATUS = ["closed", "idle", "waiting", "connecting", "connecting", "connecting", "online"];

/** What is known of `session.sync`: under way, to be asked once more behind that, after the next push. */
const ASKED = 1, AGAIN = 2, OWED = 3;

const FAMILIES = "store rules auth identity access procedures logic audit server".split(" ");

/** The operations of a bucket with their arguments; `*` has the fields in it. */
const BUCKET = ("insert data,insertMany data,upsert data,update key data,updateMany filter data,delete key,deleteMany filter,clear," +
  "get key,all,where filter,find *,findOne filter,count filter,first n,last n,paginate *," +
  "sum field filter,avg field filter,min field filter,max field filter,groupBy field aggregate filter").split(",").map((line) => line.split(" "));

/** Changes that wait in the queue. */
const QUEUEABLE = /^store\.((insert|update|delete)(Many)?|upsert|clear|transaction)$|\.(emit|setFact|deleteFact|call)$/;
/** What changes nothing may be sent again after a break. */
const READ = /^ping$|\.(get|list|find|query|explain|validate|my|who|all|where|count|first|last|paginate|sum|avg|min|max|group|buckets|stats|backups|connections|metrics|top|views|insights)/;

/** What changes the user of a connection. */
const MOVE = /^(auth|identity)\.(login|logout|signup)/;

/** How long a refused or ended Live waits, first and longest; without times: for a login. */
const retryOf = ({ code, retryable }) => retryable ? [5000, 60000]
  : /DEFINED$|Undefined|Dropped/.test(code) ? [1000, 30000]
  : /UNAUTHORIZED|FORBIDDEN|Revoked|cancelled/.test(code) ? [] : undefined;

const isObject = (value) => value && typeof value == "object";

/** Deep equality of JSON values. */
const equal = (a, b) => a === b || isObject(a) && isObject(b) && Array.isArray(a) == Array.isArray(b)
  && Object.keys(a).length == Object.keys(b).length && Object.keys(a).every((name) => equal(a[name], b[name]));

/** One text for equal JSON values, whatever the order of their members. */
const canonical = (value) =>
  JSON.stringify(value, (_, v) => isObject(v) && !Array.isArray(v) ? Object.fromEntries(Object.entries(v).sort()) : v);

/** Keys as members of a Map: `1` is not `"1"`, and groups have arrays. */
const idOf = ({ key }) => (isObject(key) ? JSON.stringify(key) : key);

const random = (from, to) => from + Math.random() * (to - from);

/** A timer that keeps no process alive. */
const later = (fn, ms) => {
  const timer = setTimeout(fn, ms);
  timer.unref?.();
  return timer;
};

/** A timer that is set anew each time; without a function it is stopped. */
const alarm = (timer) => (fn, ms) => {
  clearTimeout(timer);
  if (fn) timer = later(fn, ms);
};

/** What throws is seen by everybody, and stops nobody. */
const safely = (fn, ...args) => {
  try { fn?.(...args); } catch (error) { report(error); }
};
const report = (error) => (globalThis.reportError ?? ((e) => queueMicrotask(() => { throw e; })))(error);

/** Bytes of a message with these fields, and what stands around them. */
const sizeOf = (fields) => new Blob([JSON.stringify(fields)]).size + 99;

/** 160 random bits. */
const newId = () => crypto.getRandomValues(new Uint32Array(5)).join("-");

// Results are lists of `{ key, row }`, or values.

/** A list after one push of delta mode: docs/delta.md, and continuity's two additions. */
const applyDelta = (list, { removed = [], added = [], changed = [] }) => {
  const rest = new Map(list.map((one) => [idOf(one), one]));
  const placed = [], next = [];
  for (const key of removed) rest.delete(idOf({ key }));
  for (const one of [...changed, ...added]) {
    if (one.at == null) rest.set(idOf(one), one);
    else rest.delete(idOf(one)), placed.push(one);
  }
  placed.sort((a, b) => b.at - a.at);
  for (const one of rest.values()) {
    while (placed.at(-1)?.at <= next.length) next.push(placed.pop());
    next.push(one);
  }
  return next.concat(placed.reverse());
};

/** What is shown of a list or value, with the old objects where nothing changed; `old` if it is equal altogether. */
const merge = (old, list, isKeyed) => {
  if (list === old.list) return old;
  if (!Array.isArray(list)) return equal(old.data, list) ? old : { list, data: list };
  const map = isKeyed && new Map();
  let isSame = old.data?.length == list.length && !map == !old.map;
  list = list.map((one, i) => {
    const was = map ? old.map?.get(idOf(one)) : old.list?.[i];
    if (was && equal(was.row, one.row)) one = was;
    if (map) map.set(idOf(one), one);
    isSame &&= old.list[i] == one;
    return one;
  });
  return isSame ? old : { list, map, data: Object.freeze(list.map((one) => one.row)) };
};

/** What happened between two of those. */
const changeOf = (old, { map, list }) => {
  if (!old.map || !map) return { reset: true };
  const keys = (rows, test) => rows.filter(test).map((one) => one.key);
  const was = (one) => old.map.get(idOf(one));
  return {
    removed: keys(old.list, (one) => !map.has(idOf(one))),
    added: keys(list, (one) => !was(one)),
    changed: keys(list, (one) => was(one) && was(one).row !== one.row),
  };
};

/** A list with one insert, update or delete on it that the server has not confirmed. */
const overlay = (list, { type, fields: { key, data } }, { accepts, place }, keyField, temporary) => {
  const isInsert = type == "store.insert";
  if (isInsert) key = data[keyField];
  let at = list.findIndex((one) => idOf(one) === idOf({ key }));
  if (isInsert == at >= 0) return list;
  const row = isInsert ? data : { ...list[at].row, ...data };
  if (isInsert) at = list.findIndex((old) => place == "start" || place?.call?.(0, row, old.row) < 0);
  list = [...list];
  list.splice(at < 0 ? list.length : at, isInsert ? 0 : 1, ...(type != "store.delete" && (accepts ? accepts(row) : !isInsert) ? [{ key: key ?? temporary, row }] : []));
  return list;
};

/** The server's address: absolute, or seen from where this file came from. */
const addressOf = (url) => {
  const here = import.meta.url;
  try {
    return new URL(url ?? "/", /^http/.test(here) ? here : undefined).href.replace(/^http/, "ws").split("#")[0];
  } catch {
    throw fault("NO_URL", undefined, "connect() needs the server's URL");
  }
};

export function connect(url, given = {}) {
  const {
    tokenStore = "memory", queue: queueing = "memory", timeoutMs = 10000, connectTimeoutMs = 10000, staleAfterMs = 1000,
    keepMs = 5000, hiddenMs, maxMessageBytes = 1048576, lazy, log,
    WebSocket: Socket = globalThis.WebSocket, retry: { minMs = 100, baseMs = 1500, maxMs = 30000 } = {},
  } = given;
  const address = addressOf(url), hydrate = { ...given.hydrate };
  /** Live queries by their question, topics by pattern, what hears pushes by subscription, requests by id. */
  const lives = new Map(), topics = new Map(), subs = new Map(), unanswered = new Map();
  const handlers = new Set();
  const watchdog = alarm(), reconnect = alarm(), refresh = alarm(), expiry = alarm(), hidden = alarm();
  let level = IDLE, reason, user = null, socket, epoch, features, isOnce, syncing;
  /** A login failed or is over, so that nobody knows whose the changes are; how often somebody left, and how many logins are under way. */
  let isLost, departures = 0, moves = 0;
  /** Whose session the connection has, and whether it is being opened. */
  let bound, isOpening;
  let lastId = 0, attempt = 0, full = 0, bugs = [], onlineSince, heard, hastened = 0, heartbeatMs, lastPing;
  let retryAfter, revoked, staleTimer, skew = 0, longest = maxMessageBytes;

  const tell = (event, ...args) => {
    log?.(event == "error" ? "warn" : "info", event, args);
    handlers.forEach(([name, fn]) => name == event && safely(fn, ...args));
  };

  const become = (to, why) => {
    const isNews = STATUS[level] != STATUS[to];
    level = to;
    if (!isNews) return;
    reason = why;
    tell("status", STATUS[to], why);
  };

  /** The next time online, if not now; rejects when the client is closed. */
  const online = () => new Promise((resolve, reject) => {
    const handler = ["status", () => {
      if (level && level < ONLINE) return;
      handlers.delete(handler);
      level ? resolve() : reject(away());
    }];
    handlers.add(handler);
    handler[1]();
  });
  const away = (type) => fault(level ? "OFFLINE" : "CLOSED", type, level ? undefined : reason);
  const ready = online();
  ready.catch(() => {});

  const setUser = (to) => {
    if (equal(user, to)) return;
    user = to;
    tell("user", user);
    pump();
  };

  // Requests, and the queue of changes, which are those that have a number `n`.
  // Of each: `id` while it is under way on this connection, `sent` if it ever was.

  const store = queueing.load && queueing;
  const queue = new Set();
  /** Of those with a number: how many there are, and what they take. */
  let numbered = 0, bytes = 0;
  /** One id, which is another session for each user; those of whom the server knows it. */
  const known = new Set();
  let session = newId(), counter = 0;
  const enqueue = (w) => {
    queue.add(w);
    if (w.n) numbered++, (bytes += w.size);
  };
  let restoring = store?.load(session).then((old) => {
    ({ session, counter } = old);
    for (const w of old.writes) enqueue(w), w.sent && known.add(w.user);
  }).catch(report).then(() => { restoring = undefined; });

  const unknown = (w) => fault("UNKNOWN_OUTCOME", w.type);
  const isRepeated = (w) => isOnce && w.once && w.n;

  const transmit = (w) => {
    unanswered.set((w.id = ++lastId), w);
    w.sent = true;
    socket.send(JSON.stringify({ once: isRepeated(w) || undefined, ...w.fields, id: w.id, type: w.type }));
  };

  /** On this connection or not at all; `of`: the subscriptions that are asked for. */
  const send = (type, fields = {}, done = () => {}, of) => {
    if (level >= WELCOMED) transmit({ type, fields, done, of });
    else done(away(type));
  };
  const ask = (type, fields) =>
    new Promise((resolve, reject) => send(type, fields, (why, value) => (why ? reject(why) : resolve(value))));
  /** Ends a subscription. */
  const unsubscribe = (type, subscriptionId) => {
    if (subs.delete(subscriptionId)) send(type.replace("live", "subscribe").replace(".", ".un"), { subscriptionId });
  };

  const request = (type, fields = {}, o = {}) => {
    if (restoring) return restoring.then(() => request(type, fields, o));
    if (level && MOVE.test(type)) return moveOn(type, fields);
    return new Promise((resolve, reject) => {
      const size = sizeOf(fields);
      const isRead = READ.test(type);
      const isQueued = queueing && QUEUEABLE.test(type);
      wake();
      const refusal = !level ? "CLOSED" : size > maxMessageBytes ? "TOO_LARGE"
        : isQueued ? (numbered >= 1000 || bytes + size > 1048576) && "QUEUE_FULL"
        : !isRead && level == WAITING && "OFFLINE";
      if (refusal) throw fault(refusal, type);
      const w = { n: isQueued && ++counter, type, fields, size, isRead, once: o.once != false, user: user || level == ONLINE ? userId() : undefined, optimistic: o.optimistic };
      const abort = () => cut("ABORTED");
      w.end = (why, value, message) => {
        clearTimeout(timer);
        o.signal?.removeEventListener("abort", abort);
        if (message) safely(o.onCommit, message.commit);
        why ? reject(why) : resolve(value);
      };
      /** Who has waited long enough may not know what becomes of it, but the change itself goes on. */
      const cut = (code) => (w.sent && !isRead ? settle(w, unknown(w)) : finish(w, fault(code, type)));
      enqueue(w);
      const ms = o.timeoutMs ?? (!isQueued && timeoutMs);
      const timer = ms && later(() => cut("TIMEOUT"), ms);
      if (o.signal?.aborted) return abort();
      o.signal?.addEventListener("abort", abort);
      if (o.optimistic) lay(w, o.optimistic);
      if (isQueued) keep(w);
      pump();
    });
  };

  /** In the stored queue; that it may have been sent is stored before it is. */
  const keep = (w, isSent) => {
    w.stored = 2;
    // What is not numbered would be done twice by who finds it.
    if (!store || !w.once) return;
    w.stored = 0;
    const mine = session;
    store.put(w, isSent).then(() => mine == session && ((w.stored = isSent ? 2 : 1), pump()), (why) => finish(w, why));
  };

  /** Of somebody else, or of nobody knows whom. */
  const isParked = (w, me = userId()) => me === undefined || (w.user !== undefined && w.user !== me);

  /** Whose changes are made now: of nobody, or of who will log in. */
  const userId = () => (user ? user.userId : isLost ? undefined : null);

  /** Sends what may be sent: changes under the session of who made them, at most 32, and none whose number is too far from the oldest. */
  const pump = () => {
    if (level < ONLINE) return;
    const me = userId();
    let out = 0, oldest, isBlocked;
    for (const w of unanswered.values()) out += !!w.n;
    for (const w of queue) {
      if (w.n) {
        if (w.user === undefined) w.user = me;
        if (isParked(w) || moves || bound !== me) continue;
        oldest ??= w.n;
      }
      if (w.id) continue;
      if (w.n) {
        if (w.isHeld) out = 32;
        if (out++ >= 32 || w.n - oldest > 63) continue;
        if (w.stored == 1) keep(w, true);
        isBlocked ||= w.stored < 2;
        if (isBlocked) continue;
      } else if (unanswered.size >= 256) {
        // Behind reads that have to wait there may be changes that need not.
        if (out < numbered) continue;
        break;
      }
      transmit(w);
    }
  };

  /** An answer, or what is as good as one. */
  const answer = (w, why, value, message) => {
    unanswered.delete(w.id);
    w.id = 0;
    if (w.done) return w.done(why, value, message);
    // The login was over before the change came: it waits for the next one.
    if (w.n && isLost && why?.code == "UNAUTHORIZED") return;
    if (why?.code == "UNAVAILABLE" && !w.isRead) {
      if (isRepeated(w)) {
        w.isHeld = true;
        return later(() => ((w.isHeld = false), pump()), why.retryAfterMs ?? 1000);
      }
      if (!why.retryable) why = unknown(w);
    }
    finish(w, why, value, message);
  };

  const finish = (w, why, value, message) => {
    if (queue.delete(w) && w.n) {
      numbered--;
      bytes -= w.size;
      store?.delete(w.n);
      told(w, why);
    }
    settle(w, why, value, message);
    pump();
  };

  const told = ({ n, type }, why) => tell("write", { n, type, state: why ? "rejected" : "done", error: why });

  /** The end of a promise: the change itself may go on. */
  const settle = (w, why, value, message) => {
    w.end?.(why, value, message);
    if (!w.optimistic) return;
    Object.assign(w, { isOver: true, why, commit: message?.commit, epoch });
    const settleAll = () => lives.forEach((it) => it.settle());
    settleAll();
    if (why) return;
    if (w.commit != null) sync();
    else later(() => ((w.isDue = true), settleAll()), 500);
  };

  /** Of what was sent, nobody can say any more what became of it. */
  const giveUp = () => queue.forEach((w) => w.n && w.sent && finish(w, unknown(w)));

  /** What was sent and not answered ends here; the rest gets the numbers of a new session. */
  const renew = () => {
    giveUp();
    session = newId();
    known.clear();
    counter = 0;
    store?.session(session);
    for (const w of queue) if (w.n) (w.n = ++counter), keep(w);
  };

  /** Shows a change before the server does. */
  const lay = (w, optimistic) => {
    const temporary = Symbol();
    if (typeof optimistic == "function") {
      safely(optimistic, (live, fn) => [...lives.values()].find((it) => it.live == live)?.lay(w, (list, keyField) => {
        const known = new Map(list.map((one) => [one.row, one]));
        return fn(list.map((one) => one.row)).map((row, i) =>
          known.get(row) ?? { key: row[keyField] ?? list[i]?.key ?? `new-${i}`, row });
      }));
    } else for (const it of lives.values()) {
      if (it.bucket == w.fields.bucket) it.lay(w, (list, keyField, isKeyed) => isKeyed ? overlay(list, w, it.takes, keyField, temporary) : list);
    }
  };

  /** Asks how far the pushes have come, for who waits at a Live that nothing changes. */
  const sync = () => {
    if (syncing == ASKED) syncing = AGAIN;
    if (syncing) return;
    syncing = ASKED;
    send("session.sync", {}, (why, answer) => {
      const isAgain = answer && syncing == AGAIN;
      // What is owed comes with a push, after which it is asked again; or with another connection.
      syncing = (why ? why.code == "OFFLINE" : !answer.complete) ? OWED : 0;
      if (answer?.complete) lives.forEach((it) => it.bookmark(answer.commit));
      if (isAgain) sync();
    });
  };

  const syncAgain = () => { if (syncing == OWED) (syncing = 0), sync(); };

  // The connection

  const wake = () => {
    if (level != IDLE) return;
    if (!Socket) throw fault("NO_WEBSOCKET", undefined, "Pass { WebSocket }, or run node --experimental-websocket");
    if (restoring) restoring.then(wake);
    else open();
  };

  const open = () => {
    heartbeatMs = lastPing = bound = isOpening = undefined;
    moves = 0;
    const mine = (socket = new Socket(address));
    mine.onmessage = (event) => mine == socket && received(event.data);
    mine.onclose = (event) => mine == socket && closed(event.code, event.reason);
    mine.onerror = () => {};
    watchdog(drop, connectTimeoutMs);
    become(CONNECTING);
  };

  /** Does not wait for a closing handshake that may never come. */
  const drop = (code = 1006, text) => {
    const old = socket;
    closed(code, text);
    old?.close();
  };

  const received = (text) => {
    heard = Date.now();
    let message;
    try { message = JSON.parse(text); } catch { return tell("error", fault("PARSE_ERROR")); }
    const { type, id, event, subscriptionId, timestamp, commit, data, serverTime } = message;
    if (type == "result" || type == "error") {
      const w = unanswered.get(id);
      const why = type == "error" ? fault(message.code, w?.type, message.message, message.details) : undefined;
      if (user && why?.code == "UNAUTHORIZED" && /expired/.test(why.message)) expired();
      if (w) answer(w, why, data, message);
      else if (!id) tell("error", why);
      pump();
    }
    subs.get(subscriptionId)?.(message);
    if (type == "push") syncAgain();
    if (type == "ping") {
      socket.send(JSON.stringify({ type: "pong", timestamp }));
      if (lastPing && !heartbeatMs) (heartbeatMs = timestamp - lastPing), watch();
      lastPing = timestamp;
      lives.forEach((it) => it.bookmark(commit));
    }
    if (type == "welcome") {
      const mine = socket;
      level = WELCOMED;
      skew = serverTime - Date.now() || 0;
      watch();
      signIn().then(() => {
        if (mine != socket) return;
        level = SIGNED;
        openSession();
        subscribeAll();
      });
    }
    if (type == "system") {
      if (event == "shutdown") retryAfter = message.retryAfterMs;
      if (event == "session_revoked") revoked = message.reason;
      tell("system", message);
    }
  };

  /** Silence of two heartbeats and five seconds drops the socket, unless the server has none. */
  const watch = () => {
    if (heartbeatMs === 0) return watchdog();
    const left = heard + 2 * (heartbeatMs ?? 35000) + 5000 - Date.now();
    watchdog(() => (left > 0 ? watch() : drop()), Math.max(left, 50));
  };

  /** Opens the session of who is logged in, which is once for each of them on a connection. */
  const openSession = () => {
    const mine = socket, id = userId(), isKnown = known.has(id);
    if (moves || isOpening || level < SIGNED || (level == ONLINE && (isLost || bound === id))) return pump();
    isOpening = true;
    // Who is not logged in and should be changes nothing.
    const numbered = queueing && !isLost && { session, once: true, resume: isKnown };
    send("session.open", { commits: true, events: true, ...numbered }, (why, answer) => {
      const code = why?.code;
      if (mine != socket) return;
      isOpening = false;
      if (code == "UNAVAILABLE") return later(() => mine == socket && openSession(), why.retryAfterMs ?? 1000);
      if (code == "NOT_FOUND" && isKnown) return renew(), openSession();
      if (code == "UNAUTHORIZED") isLost = true;
      else {
        bound = id;
        isOnce = answer && numbered;
        features = answer?.features ?? [];
        epoch = answer?.epoch;
        longest = answer?.maxPayloadBytes ?? maxMessageBytes;
        if (answer) known.add(id);
        else if (numbered) giveUp();
      }
      heartbeatMs = answer?.heartbeatMs ?? heartbeatMs;
      watch();
      onlineSince ??= Date.now();
      full = 0;
      become(ONLINE);
      syncAgain();
      // Somebody may have logged in meanwhile.
      openSession();
    });
  };

  /** Asks for what is not live: after a connect, and after a login, which may open what was refused. */
  const subscribeAll = () => {
    if (level < SIGNED) return;
    topics.forEach(hear);
    const all = [...lives.values()].filter((it) => it.isAsking());
    // A server that has not said what it has answers at least that it does not know.
    const hasMany = features ? features.includes("many") : all.length > 1;
    // What may have broken the connection is asked for singly, to tell which it was.
    const many = all.filter((it) => hasMany && !it.strikes || it.start());
    while (many.length) {
      const part = [], subscriptions = [];
      for (let room = longest; many.length && part.length < 100; part.push(many.shift())) {
        const question = many[0].question();
        room -= sizeOf(question);
        if (room < 0 && part.length) break;
        subscriptions.push(question);
      }
      const answered = part.map((it) => it.renew());
      send("store.subscribeMany", { subscriptions }, (why, answer, message) => {
        part.forEach((it, i) => {
          const { error, ...one } = answer?.results?.[i] ?? {};
          // What was too much together, or is unknown here, is asked for singly.
          if (!answer?.results || /costly|too large/.test(error?.message)) it.start();
          else answered[i](error && fault(error.code, it.operation, error.message, error.details), one, message);
        });
      }, part);
    }
  };

  /** The table of close codes. */
  const closed = (code, text) => {
    if (!socket) return;
    const [first] = unanswered.values();
    let final;
    level &&= CONNECTING;
    socket = syncing = undefined;
    watchdog();
    stopTimers();
    if (Date.now() - onlineSince > 30000) attempt = 0;
    onlineSince = undefined;
    let [from, to] = retryAfter ? [0, retryAfter] : [minMs, Math.max(minMs, Math.min(maxMs, baseMs * 2 ** attempt++))];
    retryAfter = undefined;
    const isLong = code == 1009;
    if (isLong || (code == 1011 && text == "internal_error")) {
      // One that comes soon after another break has to wait as any other.
      if (isLong && attempt < 2) from = to = 0;
      const of = first && (first.of ?? [first]);
      of?.forEach((one) => { one.strikes = (one.strikes ?? 0) + 1; });
      if (of?.[0].strikes > 1 || (isLong && first && !first.of)) answer(first, fault(isLong ? "TOO_LARGE" : "INTERNAL_ERROR", first.type));
    } else if (code == 1011 || code == 1013) (from = 5000), (to += from);
    else if (code == 4003) from = to = Math.min(60000, 5000 * 2 ** full++);
    else if (code == 4002) {
      final = revoked ?? text;
      forgetLogin();
    } else if (/^100[2378]$/.test(code)) {
      bugs = [...bugs.filter((at) => at > Date.now() - 300000), Date.now()];
      if (bugs.length > 3) final = "protocol";
    }
    if (![...lives.values()].some((it) => it.isAsking())) staleTimer = clearTimeout(staleTimer);
    if (level) staleTimer ??= later(() => ((staleTimer = undefined), lives.forEach((it) => it.stale(true))), staleAfterMs);
    lives.forEach((it) => it.lost());
    topics.forEach((topic) => { topic.sub = undefined; });
    subs.clear();
    for (const w of new Set([...unanswered.values(), ...queue])) {
      if (w.isRead || (w.n && (!w.id || isRepeated(w)))) w.id = 0;
      else answer(w, w.id && !w.done ? unknown(w) : away(w.type));
    }
    unanswered.clear();
    if (code == 4004) renew();
    if (!level) return;
    if (final != null) return end(final);
    // In this order: who hears of it may close.
    reconnect(open, random(from, to));
    become(WAITING, text || `${code}`);
  };

  /** A sign of life of the network or the page. */
  const hasten = ({ type }) => {
    if (level == IDLE && reason && type != "online") wake();
    else if (level == WAITING && Date.now() - hastened > 2000 && !full) {
      hastened = Date.now();
      reconnect(open, random(0, 300));
    } else if (level == ONLINE && Date.now() - heard > 10000) {
      const at = heard;
      watchdog(() => (heard == at ? drop() : watch()), 4000);
      send("ping");
    }
  };

  /** Closes the socket until somebody needs it. */
  const rest = () => {
    if (level <= IDLE) return;
    drop(1001);
    reconnect();
    if (level) become(IDLE, "resting");
  };

  const stop = new AbortController(), page = globalThis.document;
  /** The controller has the member of the options that is needed: `signal`. */
  const listen = (type, fn, target = globalThis) => target?.addEventListener?.(type, fn, stop);
  listen("online", hasten);
  listen("pageshow", hasten);
  listen("pagehide", rest);
  listen("visibilitychange", (event) => {
    hidden();
    if (page.visibilityState == "visible") hasten(event);
    else if (hiddenMs) hidden(rest, hiddenMs);
  }, page ?? null);
  listen("storage", ({ key, newValue }) => {
    if (tokenStore == "local" && key == tokenName && level >= WELCOMED) newValue ? login({ token: newValue }).catch(() => {}) : (forgetLogin(), drop());
  });

  const end = (why) => {
    become(CLOSED, why);
    const error = away();
    reconnect();
    hidden();
    clearTimeout(staleTimer);
    stop.abort();
    for (const w of queue) {
      const why = w.sent && !w.isRead ? unknown(w) : error;
      settle(w, why);
      // What is stored will be sent by another client.
      if (w.n && !(store && w.once)) told(w, why);
    }
    queue.clear();
    store?.close();
    lives.forEach((it) => it.close());
  };

  // The login

  let auth = given.auth ?? {}, memory;
  const tokenName = "noexd:" + address;

  /** Asks for the kept token, keeps another one, or forgets it (`null`). A store that throws is memory. */
  const kept = async (token) => {
    if (token !== undefined) memory = token;
    try {
      if (tokenStore.get) return await (token ? tokenStore.set(token) : token === null ? tokenStore.delete() : tokenStore.get());
      const web = globalThis[tokenStore + "Storage"];
      if (token) web[tokenName] = token;
      else if (token === null) delete web[tokenName];
      else return web[tokenName];
    } catch { return memory; }
  };

  /** A session stays with a connection only as long as its user is the same. */
  const unbind = (id) => { if (bound !== id) bound = undefined; };
  const stopTimers = () => (refresh(), expiry());

  const forgetLogin = () => {
    auth = {};
    isLost = false;
    departures++;
    unbind(null);
    stopTimers();
    setUser(null);
    return kept(null);
  };

  /** What is to be done with the answer to a login that is sent now: nothing, if somebody leaves before it comes. */
  const adopting = (at = departures) => async ({ user: who, userId = who.id, roles = who?.roles ?? [], expiresAt = null, token }) => {
    unbind(userId);
    if (at != departures) return;
    isLost = false;
    setUser({ userId, roles, expiresAt });
    const left = expiresAt - Date.now() - skew, most = 2 ** 31 - 1;
    refresh(expiresAt && renewLogin, Math.min(Math.max(auth.getToken ? Math.max(left - 30000, left / 2) : left * random(0.75, 0.85), 1000), most));
    // What ends after longer than a timer can wait is renewed before.
    expiry(expiresAt && left < most && expired, Math.max(left, 1000));
    if (token) await kept(token);
  };

  /** While the user of the connection may change no change leaves, and then none without a session of his. */
  const move = async (type, fields, then) => {
    const mine = socket;
    moves++;
    try {
      return await ask(type, fields).then(then);
    } finally {
      if (mine == socket) moves--, openSession();
    }
  };

  const loginOf = (who) => (who.token ? "auth.login" : who.secret ? "identity.loginWithSecret" : "identity.login");
  const tryLogin = (who) => move(loginOf(who), who, adopting());

  /** Whether what the client began by itself is still to be done: on this connection, while nobody else logs in or out. */
  const lasting = (mine = socket, was = user, at = departures) => () => mine == socket && was == user && at == departures && !moves;

  /** A refusal that need not last. */
  const loginFailed = (error, again) => {
    tell("error", error);
    if (error?.retryable ?? true) refresh(again, error?.retryAfterMs ?? 5000);
  };

  const renewLogin = async () => {
    const isMine = lasting();
    try {
      const token = await (auth.getToken ? auth.getToken() : kept());
      if (token && isMine()) await (auth.getToken ? tryLogin({ token }) : ask("identity.refreshSession").then(adopting()));
    } catch (error) {
      if (isMine()) loginFailed(error, renewLogin);
    }
  };

  /** With what there is: the kept token first. */
  const signIn = async () => {
    const isMine = lasting();
    const token = await kept();
    let hasFailed;
    for (const who of [{ token }, auth]) {
      try {
        const one = who.getToken ? { token: await who.getToken() } : who;
        if (!isMine() || !(one.token || one.secret || one.password)) continue;
        await tryLogin(one);
        // Used once and not kept.
        if (one.password) auth = {};
        return;
      } catch (error) {
        if (!isMine()) return;
        hasFailed = true;
        if (who != auth && /UNAUTHORIZED|REVOKED/.test(error.code)) await kept(null);
        // What is wrong now is wrong at the next connect.
        if ((who.password || who.secret) && !error.retryable) auth = {};
        loginFailed(error, signInAgain);
      }
    }
    if (!isMine()) return;
    isLost ||= hasFailed;
    setUser(null);
  };

  const signInAgain = async () => {
    await signIn();
    if (user) subscribeAll();
  };

  const staleAll = () => lives.forEach((it) => it.stale());

  const expired = () => {
    isLost = true;
    stopTimers();
    setUser(null);
    staleAll();
    signInAgain();
  };

  /** A login or logout by the operation's name, of which the client has to know. */
  const moveOn = async (type, fields) => {
    if (/out/.test(type)) return leave(type, fields);
    const at = departures;
    wake();
    if (level < ONLINE) await online();
    if (at != departures) throw fault("ABORTED", type, "Somebody logged out");
    const adopt = adopting();
    const answer = await move(type, fields, (answer) => adopt(answer).then(() => answer));
    if (at != departures) return answer;
    auth = {};
    if (fields.token) await kept(fields.token);
    subscribeAll();
    return answer;
  };

  const login = (who) => moveOn(loginOf(who), who).then(() => user);

  /** Nobody is logged in from now on; a login that is under way counts for nothing. */
  const leave = async (type, fields) => {
    const forgotten = forgetLogin(), mine = socket;
    staleAll();
    try {
      return level < WELCOMED ? undefined : await move(type, fields);
    } catch (error) {
      // Who cannot log out is not left logged in.
      if (mine == socket) drop();
      throw error;
    } finally {
      await forgotten;
      subscribeAll();
    }
  };

  const logout = () => leave("auth.logout").then(() => {}, () => {});

  // Live queries

  /** `it` is what the rest of the client knows of a Live, `it.live` the public face. */
  const createLive = (name, operation, fields, bucket) => {
    let state; // as the server says: a list of { key, row }, or a value
    let shown = {}, told = shown; // with layers on it; as the listeners know it
    let status = "loading", error, commit, itsEpoch, window, snap;
    let seq, sub, keyField, isKeyed, token, wantsKeys, isResyncing, isPending, asked = 0, tries = 0, since = 0, isDue;
    let layers = [];
    const listeners = new Set(), retry = alarm(), ending = alarm();

    /** With a change: what is to be heard; without one: something may be due. */
    const call = (change) => [...listeners].forEach((fn) => listeners.has(fn) && fn(change));

    const changed = () => {
      snap = undefined;
      isDue ||= !queueMicrotask(() => {
        isDue = false;
        const change = changeOf(told, shown);
        told = shown;
        call(change);
      });
    };

    const become = (to, why) => {
      if (to == status && why == error) return;
      status = to;
      error = why;
      changed();
    };

    /** At that commit of that epoch, or answered in a later one. */
    const isBeyond = (at, to) => sub && (itsEpoch != at || commit >= to);

    /** After each news, true or not: layers go whose change is in the state now, and the rest is shown. */
    const settle = (to, isNews) => {
      if (to != null) (commit = to), (itsEpoch = epoch), (snap = undefined);
      layers = layers.filter(({ w }) => {
        if (w.why?.code == "UNKNOWN_OUTCOME") resync();
        return !(w.isOver && (w.why || w.isDue || (w.commit == null ? isNews : isBeyond(w.epoch, w.commit))));
      });
      const next = merge(shown, layers.reduce((list, layer) => {
        try { return Array.isArray(list) ? layer.put(list, keyField, isKeyed) : list; } catch (error) {
          report(error);
          layer.put = (same) => same;
          return list;
        }
      }, state), isKeyed);
      if (!layers.length) state = next.list;
      if (next != shown) (shown = next), changed();
      call();
    };

    const failed = (why) => {
      forget();
      become("error", why);
      call();
      const [first, most] = retryOf(why) ?? [];
      if (first && listeners.size) retry(start, why.retryAfterMs ?? Math.min(most, first * 2 ** tries++));
    };

    const forget = () => {
      retry();
      subs.delete(sub);
      sub = seq = isResyncing = isPending = undefined;
      asked++;
    };

    /** What is to be done with the answer, unless it is out of date when it comes. */
    const answered = () => {
      const mine = asked;
      return (why, answer, message) => {
        const isLate = mine != asked;
        if (why) return isLate || failed(why);
        subs.set(answer.subscriptionId, push);
        if (isLate) return unsubscribe(operation, answer.subscriptionId);
        sub = answer.subscriptionId;
        isPending = false;
        tries = it.strikes = 0;
        since = Date.now();
        keyField = answer.key;
        window = token = commit = undefined;
        itsEpoch = epoch;
        take(answer, message);
      };
    };

    /** An answer or a push. */
    const take = (part, message) => {
      seq = part.seq;
      window = part.window ?? window;
      if (part.resume) ({ token, keys: wantsKeys } = part.resume);
      if ("value" in part) state = part.value;
      else if ("data" in part) {
        isKeyed = !!part.keys;
        state = Array.isArray(part.data) ? part.data.map((row, i) => ({ key: part.keys?.[i], row })) : part.data;
      } else if (isKeyed) state = applyDelta(state, part);
      become("live");
      settle(message.commit ?? part.resume?.commit, true);
    };

    const resync = () => {
      if (isResyncing || seq == null) return;
      isResyncing = true;
      become("stale");
      const mine = asked;
      send("store.resync", { subscriptionId: sub }, (why, answer, message) => {
        if (mine != asked) return;
        isResyncing = false;
        if (why) start();
        else take(answer, message);
      });
    };

    const push = (message) => {
      const { data, event, reason } = message;
      token = message.token ?? token;
      if (event) failed(fault(event, operation, reason));
      else if (seq == null) take({ data }, message);
      else if (data.closed) failed(fault(data.closed, operation));
      else if (data.reset || (data.seq == seq + 1 && !isResyncing)) take(data, message);
      else if (data.seq > seq) resync();
    };

    /** For another subscription; what is to be done with its answer. */
    const renew = () => {
      unsubscribe(operation, sub);
      forget();
      isPending = level >= SIGNED;
      return answered();
    };

    /** Subscribes, or will when there is a connection; if nobody listens, ends. */
    const start = () => {
      const done = renew();
      if (!listeners.size) {
        it.lost();
        if (lives.get(name) == it) lives.delete(name);
      } else if (level >= SIGNED) send(operation, it.question(), done, [it]);
      else if (Socket) wake();
    };

    /** Somebody wants it now: an error of before is none. */
    const restart = () => {
      if (status == "error") become(shown.data === undefined ? "loading" : "stale");
      start();
    };

    const hold = (fn) => {
      ending();
      listeners.add(fn);
      // Another one may have been made since this one was forgotten: both are served.
      while ((lives.get(name) ?? it) != it) name += " ";
      lives.set(name, it);
      if (listeners.size == 1 && !sub && !isPending) restart();
    };

    const release = (fn) => {
      if (listeners.delete(fn) && !listeners.size) ending(start, keepMs);
    };

    /** Holds the Live until `test` says so; a refusal rejects. */
    const until = (test) =>
      new Promise((resolve, reject) => {
        const check = () => {
          const why = level ? status == "error" && error : fault("CLOSED");
          if (!why && !test()) return;
          release(check);
          why ? reject(why) : resolve(shown.data);
        };
        wake();
        hold(check);
        check();
      });

    const live = {
      snapshot: () => (snap ??= Object.freeze({ data: shown.data, status, error, commit, window })),
      subscribe(fn) {
        const listener = (change) => change && safely(fn, live.snapshot(), change);
        hold(listener);
        if (shown.data !== undefined) listener({ reset: true });
        return () => release(listener);
      },
      loaded: () => until(() => shown.data !== undefined && status == "live"),
      async reached(to) {
        if (epoch == null) wake(), await online();
        const at = epoch;
        let isSure;
        const done = until(() => (at == null ? isSure && sub : isBeyond(at, to)));
        // Without numbers: the pushes of a request stand before the next answer, but
        // for a subscription that is so young that its first one is held back.
        if (at == null) request("ping", {}, { timeoutMs: 0 }).catch(() => {}).then(() => later(() => ((isSure = true), call()), since + 2200 - Date.now()));
        else if (!isBeyond(at, to)) sync();
        await done;
      },
      retry() { tries = it.strikes = 0; if (!sub) restart(); },
      async move(to) {
        const isAnswered = () => status == "live" && sub;
        // An answer that is under way is waited for. Who has not asked yet asks for
        // the window at once.
        if (listeners.size && level >= SIGNED && status != "error") await until(isAnswered);
        const next = { offset: 0, limit: 50, ...window, ...to };
        if (sub && features?.includes("window") && keyField && window) {
          return new Promise((resolve, reject) =>
            send("store.moveWindow", { subscriptionId: sub, ...next }, (why, answer, message) => {
              if (why) return reject(why);
              take(answer, message);
              changed();
              resolve();
            }));
        }
        if (!sub || (features?.includes("window") && keyField)) {
          window = next;
          token = undefined;
          restart();
          try { await until(isAnswered); } catch (e) {
            if (e.code == "VALIDATION_ERROR") (window = undefined), start();
            throw e;
          }
          if (window) return;
        }
        throw fault("UNSUPPORTED", undefined, "This has no window that moves");
      },
      async *[Symbol.asyncIterator]() {
        let wake, seen;
        const fn = () => wake?.();
        hold(fn);
        try {
          while (level) {
            if (shown.data !== undefined && shown.data !== seen) yield (seen = shown.data);
            else await new Promise((resolve) => { wake = resolve; });
          }
        } finally { release(fn); }
      },
      // For tanstack.js.
      keys: () => shown.list?.map?.((one) => one.key),
      keyField: () => keyField,
    };
    for (const member in live.snapshot()) Object.defineProperty(live, member, { get: () => live.snapshot()[member], enumerable: true });

    const it = {
      live, operation, bucket, takes: {}, start, settle, renew,
      // Keys that are too many for the server, or may have been, are left out: it says then what it would say at first.
      question(keys = wantsKeys && !it.strikes ? state.map((one) => one.key) : undefined) {
        const question = {
          type: operation, ...fields, ...(/^store/.test(operation) && { mode: "delta", positions: true }), window,
          resume: token ? { token, commit, keys } : {},
        };
        if (!keys || sizeOf(question) <= longest) return question;
        delete question.resume.keys;
        return question;
      },
      isAsking: () => listeners.size && !(it.strikes > 1) && (status == "error" ? retryOf(error) : !sub || status == "stale"),
      // What nobody hears is not asked for again.
      lost() { forget(); if (!listeners.size) it.stale(); },
      // Who was away is not, if it has been answered before the client calls itself online.
      stale(wasAway) { if (status == "live" && !(wasAway && sub)) become("stale"); },
      bookmark(to) { if (sub && !isResyncing && to > (commit ?? -1)) settle(to, true); },
      close() { ending(); it.stale(); call(); },
      lay(w, put) { if (layers.length < 100) layers.push({ w, put }), settle(); },
      dump: () => ({ state, token, commit, keyField, isKeyed, wantsKeys, window }),
    };
    const old = hydrate[name];
    // What is made again later starts from nothing.
    delete hydrate[name];
    if (old?.state !== undefined) {
      ({ state, token, commit, keyField, isKeyed, wantsKeys, window } = old);
      status = "stale";
      settle();
    }
    ending(start, keepMs);
    return it;
  };

  const live = (operation, fields, bucket, takes) => {
    const name = canonical([operation, fields, bucket]);
    if (!lives.has(name)) lives.set(name, createLive(name, operation, fields, bucket));
    const it = lives.get(name);
    Object.assign(it.takes, takes);
    return it.live;
  };

  // Events: one subscription per pattern, shared by its listeners

  const hear = (topic, pattern) => {
    if (topic.sub != null || topic.strikes > 1 || level < SIGNED) return;
    topic.sub = 0;
    const each = (which, ...args) => topic.listeners.forEach((listener) => safely(listener[which], ...args));
    send("rules.subscribe", { pattern }, (why, answer) => {
      topic.sub = answer?.subscriptionId;
      if (why) {
        if (/OFFLINE|CLOSED/.test(why.code)) return;
        if (why.retryable) later(() => topics.get(pattern) == topic && hear(topic, pattern), why.retryAfterMs ?? 5000);
        return tell("error", why);
      }
      topic.strikes = 0;
      subs.set(topic.sub, ({ data, event, count = null, reason }) => {
        if (/cancel/.test(event)) {
          // For want of a login: the next one asks again.
          subs.delete(topic.sub);
          topic.sub = undefined;
          tell("error", fault(event, "rules.subscribe", reason));
        } else if (event || "gap" in data) each(1, event ? count : data.gap);
        else each(0, data.event, data.topic);
      });
      if (topics.get(pattern) != topic) unsubscribe("rules.subscribe", topic.sub);
      if (topic.wasHeard) each(1, null);
      topic.wasHeard = true;
    }, [topic]);
  };

  const events = (pattern, ...listener) => {
    if (Socket) wake();
    const topic = topics.get(pattern) ?? { listeners: new Set() };
    topics.set(pattern, topic);
    topic.listeners.add(listener);
    hear(topic, pattern);
    return () => {
      if (!topic.listeners.delete(listener) || topic.listeners.size) return;
      topics.delete(pattern);
      unsubscribe("rules.subscribe", topic.sub);
    };
  };

  // The public face

  const client = {
    get status() { return STATUS[level]; },
    get reason() { return reason; },
    get user() { return user; },
    ready, request, events, login, logout,
    async watch(type, fields, on) {
      wake();
      await online();
      return new Promise((resolve, reject) => send(type, fields, (why, answer) => {
        if (why) return reject(why);
        const id = answer.subscriptionId;
        subs.set(id, (message) => safely(on, message.data));
        resolve(() => { unsubscribe(type, id); });
      }));
    },
    bucket(bucket) {
      const self = {
        async *pages(limit) {
          for (let after, hasMore = true, records; hasMore; ) {
            ({ records, hasMore, nextCursor: after } = await self.paginate({ limit, after }));
            if (records.length) yield records;
          }
        },
        live: (what = {}, params, takes) =>
          typeof what == "string" ? live("store.subscribe", { query: what, params }, bucket, takes)
            : live("store.live", { bucket, ...what }, bucket, params),
      };
      for (const [name, ...names] of BUCKET) self[name] = (...args) => {
        const fields = { bucket }, o = args[names.length] ?? {};
        names.forEach((field, i) => Object.assign(fields, field == "*" ? args[i] : { [field]: args[i] }));
        for (const field of ["expect", "apply", "onInsert"]) if (o[field]) fields[field] = o[field];
        return request("store." + name, fields, o);
      };
      return self;
    },
    live: (query, params) => live("store.subscribe", { query, params }),
    view: (name) => live("logic.subscribeView", { name }),
    call: (name, input, o) => request("procedures.call", { name, input }, o).then((answer) => answer?.result),
    transaction: (operations, o) =>
      request("store.transaction", { operations }, o).then((answer) => answer?.results.map((one) => one.data)),
    pending: () => [...queue].filter((w) => w.n).map((w) => ({ n: w.n, type: w.type, fields: w.fields, sent: !!w.sent, parked: isParked(w) })),
    on(...handler) {
      handlers.add(handler);
      return () => handlers.delete(handler);
    },
    snapshot: () => Object.fromEntries([...lives].map(([name, it]) => [name, it.dump()])),
    async close() {
      if (!level) return;
      const old = socket;
      end("closed");
      closed(1000);
      if (old) await new Promise((resolve) => {
        old.onclose = resolve;
        old.close(1000);
        later(resolve, 1000);
      });
    },
  };
  for (const family of FAMILIES) client[family] = new Proxy({}, {
    get: (_, name) => (name == "then" ? undefined : (fields, o) => request(`${family}.${name}`, fields, o)),
  });
  if (!lazy && Socket) wake();
  // What other pages left behind goes over connections of its own, with our login.
  if (store) {
    const getToken = async () => (auth.getToken ? auth.getToken() : (await kept()) ?? auth.token);
    const adoptAll = () => store.adopt((queue) => connect(url, { ...given, queue, lazy: false, tokenStore: "memory", auth: { getToken } }), tell, userId()).catch((error) => level && report(error));
    ready.then(() => (handlers.add(["user", adoptAll]), adoptAll()), () => {});
  }
  return client;
}
