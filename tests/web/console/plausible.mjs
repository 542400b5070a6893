// What a server that has been busy for days would say, always the same: for
// pictures. Figures that change by themselves are taken from here, times and ids
// are made steady; everything else is what the real server answers.
const DAY = 864e5;
/** The page's time, which a test sets on. */
export const clock = { start: Date.UTC(2026, 4, 12, 9, 30), now: Date.UTC(2026, 4, 12, 9, 30) };

const wave = (share, size) => Math.round(size * (1 + Math.sin(share / 7) * 0.35 + Math.sin(share / 2.3) * 0.12));
/** A counter that has grown by about `rate` a second. */
function counted(rate) {
  let sum = 0;
  for (let at = 0; at <= (clock.now - clock.start) / 5000; at++) sum += wave(at, rate) * 5;
  return sum;
}
const step = () => (clock.now - clock.start) / 5000;

const connection = (n, more) => ({ connectionId: `conn-${n}`, remoteAddress: `10.0.0.${n}`, listener: "0.0.0.0:8080", transport: "ws", tls: null, userId: null, impersonatedBy: null, userAgent: null, connectedAt: clock.now - n * 37e5, bufferedBytes: 0, largestBufferedBytes: 4096 * n, behindMs: 0, pingMs: 3 + (n % 9), requests: n * 310, errors: 0, requestsPerSecond: n / 10, receivedBytes: n * 52000, sentBytes: n * 913000, loopMicros: 0, loopShare: n / 2000, subscriptions: n % 5, staleSubscriptions: 0, skippedPushes: 0, droppedEvents: 0, waiting: null, ...more });
const rows = (ids) => [
  connection(81, { userId: ids.bela, behindMs: 41300, bufferedBytes: 831488, pingMs: null, requestsPerSecond: 0, staleSubscriptions: 3, skippedPushes: 412, waiting: "output" }),
  connection(12, { userId: ids.mira, pingMs: 18 }), connection(3, { userId: "__superadmin__", errors: 1 }), connection(40, { pingMs: 6 }), connection(41), connection(57, { userId: ids.otto, pingMs: 31, loopShare: 0.06 }),
];
const view = (n, query, params, more) => ({ view: `view-${n}`, query, buckets: ["parts"], params, readFilter: false, state: "orderedList", routedBy: ["maker"], fallback: null, commits: 1204, changes: 1204, reruns: 0, refills: 0, rows: 50, bytes: 12288, resultBytes: 9000, subscribers: 1, deltaSubscribers: 1, staleSubscribers: 0, costly: false, updateMicros: { total: 7224, largest: 40, last: 5 }, pushedBytes: 4194304, createdAt: clock.now - DAY, ...more });

const metrics = () => ({
  process_start_time_seconds: (clock.now - 3 * DAY) / 1000, noexd_connections: 128, noexd_subscriptions_stale: 3, noexd_records: 48211, noexd_data_bytes: 43201331, noexd_storage_file_bytes: 61865984, noexd_storage_free_bytes: 44023414784,
  noexd_last_commit: 48211, noexd_last_durable_commit: 48211, noexd_build_info: [{ labels: { version: "1.0.0", features: "console" }, value: 1 }],
  noexd_requests_total: [{ labels: { family: "store" }, value: counted(310) }], noexd_pushes_total: [{ labels: { channel: "subscription" }, value: counted(920) }], noexd_subscriptions: [{ labels: { kind: "store" }, value: wave(step(), 352) }],
  noexd_storage_sync_duration_seconds: { count: step() * 40, sum: 0, buckets: { 0.001: step() * 12, 0.0025: step() * 39, 0.005: step() * 40, 0.01: step() * 40, "+Inf": step() * 40 } },
});
const ENTRIES = [
  ["store.updateBucket", "__superadmin__", "parts"], ["identity.login", "mira", "user:mira"], ["identity.login", null, "user:mira", "Invalid credentials"], ["identity.login", null, "user:mira", "Invalid credentials"], ["rules.updateRule", "otto", "hot-kiln"],
  ["store.backup", "__superadmin__", "before-migration"], ["identity.disableUser", "__superadmin__", "user:bela"], ["access.explain", "otto", "parts"], ["identity.grant", "otto", "bucket:orders"], ["server.disconnect", "otto", "conn-77"],
  ["identity.createUser", "__superadmin__", "user:otto"], ["procedures.register", "__superadmin__", "take-stock"], ["store.defineQuery", "__superadmin__", "low-stock"], ["store.defineBucket", "__superadmin__", "orders"],
];
const ANSWERS = {
  "server.metrics": (_, { names }) => Object.fromEntries(Object.entries(metrics()).filter(([name]) => !names || names.includes(name))),
  "server.top": (_, { limit }, ids) => ({ at: clock.now, connections: wave(step(), 128), slow: 1, bufferedBytes: 831488, loop: { busy: wave(step(), 12) / 100, turnP99Micros: 900 }, rows: rows(ids).slice(0, limit) }),
  "server.insights": () => ({ at: clock.now, insights: [
    { kind: "behind", severity: "critical", subject: "conn-81", reason: "conn-81 has been behind for 41 s", cure: "disconnect it, or let it read less", since: clock.now - 41300 },
    { kind: "scan", severity: "warn", subject: "parts", reason: "filters on parts.kind looked at 2,400,000 records in a minute and found 1,204", cure: '{"type":"store.updateBucket","name":"parts","updates":{"addIndexes":["kind"]}}', since: clock.now - 12e5 },
    { kind: "openSet", severity: "info", subject: "night-shift", reason: "the access set night-shift is open to everybody", cure: "give it a condition", since: clock.now - DAY },
  ] }),
  "server.views": () => ({ at: clock.now, views: 5, bytes: 2154496, rows: [
    view(1, "low-stock", "{}", { rows: 20, subscribers: 9, routedBy: ["qty"] }), view(2, "of-maker", '{"maker":"acme"}', { rows: 60, subscribers: 40 }), view(3, "of-maker", '{"maker":"borel"}', { rows: 60, subscribers: 12 }),
    view(4, null, "{}", { view: "live query of parts", reruns: 300, rows: 9100, bytes: 2 ** 21, fallback: "mixed kinds", updateMicros: { total: 97524000, largest: 90000, last: 81000 }, pushedBytes: 94371840 }),
  ] }),
  "server.connections": (_, __, ids) => rows(ids).map((one) => ({ connectionId: one.connectionId, remoteAddress: one.remoteAddress, connectedAt: one.connectedAt, authenticated: !!one.userId, userId: one.userId, roles: one.userId ? ["writer"] : [], storeSubscriptionCount: one.subscriptions, rulesSubscriptionCount: 0 })),
  "audit.query": (data, _, ids) => ({ ...data, entries: ENTRIES.map(([operation, user, resource, error], at) => ({ timestamp: clock.now - 4e3 - at ** 2 * 9e3, userId: ids[user] ?? user ?? null, sessionId: `conn-${80 - at}`, operation, resource, result: error ? "error" : "success", ...(error && { error }), remoteAddress: user == "mira" || error ? "192.0.2.7" : "10.0.0.3" })) }),
  "store.backups": (data) => data.map((one) => ({ ...one, createdAt: clock.now - 72e5, bytes: 9437184 })),
  "rules.stats": (data) => ({ ...data, eventsProcessed: 48190, rulesExecuted: 1204 }),
  "session.sync": (data) => ({ ...data, commit: 48211 }),
};

const UUID = /[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}/g;
/** Ids and times, wherever they stand. */
function steady(value, ids, name = "") {
  if (Array.isArray(value)) return value.map((one) => steady(one, ids, name));
  if (value && typeof value == "object") return Object.fromEntries(Object.entries(value).map(([key, one]) => [key, steady(one, ids, key)]));
  if (typeof value == "number" && value > 1.6e12 && !/^expires/.test(name)) return clock.now - 15e4;
  if (typeof value == "string" && /^\d{4}-\d\d-\d\dT/.test(value)) return new Date(clock.now - 15e4).toISOString();
  return typeof value == "string" ? value.replace(UUID, (id) => ids[id] ?? id) : value;
}

/** As `prepare` of a page: it sees what stands above. `users`: names to the server's ids. */
export const plausible = (users) => async (page) => {
  clock.now = clock.start;
  const shown = Object.fromEntries(Object.entries(users).map(([name, id], at) => [id, `${"4a91c07e".replace(/./, at + 1)}-58d2-4e1b-9f36-0b7c2d8e41f${at}`]));
  const real = Object.fromEntries(Object.entries(shown).map(([id, other]) => [other, id]));
  const named = Object.fromEntries(Object.entries(users).map(([name, id]) => [name, shown[id]]));
  await page.clock.setFixedTime(clock.now);
  await page.addInitScript(() => { performance.now = () => 0; });
  await page.routeWebSocket(/./, (socket) => {
    const [up, asked] = [socket.connectToServer(), new Map()];
    socket.onMessage((line) => {
      const message = JSON.parse(line);
      asked.set(message.id, message);
      up.send(line.replace(UUID, (id) => real[id] ?? id));
    });
    up.onMessage((line) => {
      const message = JSON.parse(line);
      const request = asked.get(message.id);
      if (message.type == "result" && request) message.data = ANSWERS[request.type]?.(message.data, request, named) ?? message.data;
      socket.send(JSON.stringify(message.type == "result" || message.type == "push" ? { ...message, data: ANSWERS[request?.type] ? message.data : steady(message.data, shown, "") } : message));
    });
  });
  return named;
};
/** The page's time goes on, and everything that is asked again and again is asked. */
export async function goesOn(page, ms) {
  clock.now += ms;
  await page.clock.setFixedTime(clock.now);
  await page.evaluate(() => {
    for (const state of ["hidden", "visible"]) {
      Object.defineProperty(document, "visibilityState", { get: () => state, configurable: true });
      document.dispatchEvent(new Event("visibilitychange"));
    }
  });
}
