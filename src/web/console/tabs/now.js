// Now: what the server does at this moment, and what needs attention. Others
// than admins see their own connection.
import {
  Ago, Chart, Code, Confirm, Do, Json, State, Trouble, act, app, ask, bytes, copy, count, go, html, parse, plural, span, useApp, useEffect, useLive, usePoll, useRef, useSeries, useState,
} from "../ui.js";
import { version } from "../noexd.js";

const NAMES = ["noexd_connections", "noexd_pushes_total", "noexd_subscriptions", "noexd_storage_file_bytes", "noexd_storage_free_bytes", "noexd_last_commit", "noexd_last_durable_commit", "noexd_storage_sync_duration_seconds", "noexd_requests_total", "noexd_data_bytes", "noexd_build_info", "noexd_records", "noexd_subscriptions_stale"];
const SEVERITY = { critical: "bad", warn: "warn", info: "off" };

const total = (value) => (Array.isArray(value) ? value.reduce((sum, one) => sum + (typeof one.value == "number" ? one.value : 0), 0) : value ?? null);

/** The bound below which 99 % of what happened between two answers stayed. */
function quantile(now, before) {
  const all = (now?.count ?? 0) - (before?.count ?? 0);
  if (all <= 0) return null;
  const bounds = Object.keys(now.buckets).filter((bound) => bound != "+Inf").map(Number).sort((a, b) => a - b);
  for (const bound of bounds) if (now.buckets[bound] - (before?.buckets[bound] ?? 0) >= all * 0.99) return bound * 1000;
  return Infinity;
}

function Figure({ label, value, points, format, title }) {
  return html`<div class="figure" title=${title}><span>${label}</span><b>${value}</b>${points && html`<${Chart} label=${label} points=${points} format=${format} />`}</div>`;
}

function Figures({ stats }) {
  const before = useRef(null);
  const latest = useRef(null);
  // The second answer soon: rates are differences of two.
  const state = usePoll(async () => {
    const [metrics, top] = await Promise.all([ask("server.metrics", { names: NAMES }), ask("server.top", { limit: 1 })]);
    before.current = latest.current;
    return (latest.current = { metrics, top, at: Date.now() });
  }, () => (before.current ? 5000 : 1000));
  const copies = usePoll(() => ask("store.backups"), 60000);
  const others = ["standbys", "replication", "group"].flatMap((name) => (stats.data?.[name] ? [[name, stats.data[name]]] : []));
  const backup = Array.isArray(copies.data) && Math.max(0, ...copies.data.map((one) => one.createdAt));
  const { data, error } = state;
  const m = data?.metrics ?? {};
  const old = before.current;
  const rate = (name) => (old && data && data.at > old.at ? Math.max(0, (total(m[name]) - total(old.metrics[name])) / ((data.at - old.at) / 1000)) : null);
  const pushes = rate("noexd_pushes_total");
  const requests = rate("noexd_requests_total");
  const connections = useSeries(data?.top.connections, state.at);
  const pushed = useSeries(pushes, state.at);
  const asked = useSeries(requests, state.at);
  const watched = useSeries(data && total(m.noexd_subscriptions), state.at);
  const slow = useSeries(data?.top.slow, state.at);
  const busy = useSeries(data && (data.top.loop?.busy ?? 0) * 100, state.at);
  if (!data) return error ? html`<${Trouble} error=${error} />` : html`<div class="skeleton" aria-busy="true"></div>`;
  const p99 = quantile(m.noexd_storage_sync_duration_seconds, old?.metrics.noexd_storage_sync_duration_seconds);
  const [commit, durable] = [m.noexd_last_commit, m.noexd_last_durable_commit];
  const build = m.noexd_build_info?.[0]?.labels?.version;
  return html`<section aria-label="Figures" class="figures">
    <${Figure} label="connections" value=${count(data.top.connections)} points=${connections} />
    <${Figure} label="requests / s" value=${count(requests)} points=${asked} />
    <${Figure} label="pushes / s" value=${count(pushes)} points=${pushed} />
    <${Figure} label="subscriptions" value=${count(total(m.noexd_subscriptions))} points=${watched} title=${`${count(total(m.noexd_subscriptions_stale))} of them stale`} />
    <${Figure} label="behind" value=${count(data.top.slow)} points=${slow} title="connections that have taken nothing for a while" />
    <${Figure} label="loop busy" value=${`${Math.round((data.top.loop?.busy ?? 0) * 100)} %`} points=${busy} format=${(n) => `${count(n)} %`} />
    <${Figure} label=${durable == null ? "commit" : durable == commit ? "commit, durable" : "commit, not yet durable"} value=${count(commit)} />
    <${Figure} label="sync p99" value=${p99 == null ? "–" : p99 == Infinity ? "> 10 s" : span(p99)} title="of the last 5 seconds" />
    <${Figure} label="records" value=${count(m.noexd_records)} />
    <${Figure} label="memory of data" value=${bytes(m.noexd_data_bytes)} />
    ${m.noexd_storage_file_bytes != null ? html`<${Figure} label=${m.noexd_storage_free_bytes != null ? `file, ${bytes(m.noexd_storage_free_bytes)} free` : "file"} value=${bytes(m.noexd_storage_file_bytes)} />` : html`<${Figure} label="version" value=${build ?? "–"} />`}
    <${Figure} label="last backup" value=${backup ? html`<${Ago} at=${backup} />` : "none"} /></section>
    ${others.map(([name, value]) => html`<section class="panel" key=${name}><h2>${name}</h2><${Json} value=${value} /></section>`)}`;
}

/** Where the subject of an insight is looked at: a tab with what of it, or figures
    in the playground. A test compares it with what the server tells of. */
const figures = (...names) => () => [["play"], { operation: "server.metrics", fields: JSON.stringify({ names: names.map((name) => `noexd_${name}`) }) }];
const at = (...path) => (subject) => [[...path, subject]];
const tab = (...path) => () => [path];
const LIMITS = { "limits.maxDataBytes": tab("data"), "connectionLimits.maxTotalSubscriptions": tab("views") };
export const SUBJECTS = {
  open: tab("people", "sessions"), noRateLimit: tab("slow"), plain: tab("slow"), behind: at("slow"), loopBusy: tab("slow"), limitNear: (subject) => (LIMITS[subject] ?? tab("slow"))(),
  scan: at("data"), nullOwner: at("data"), rerun: at("views"), costly: at("views"), wholeResults: at("views"), ruleFails: at("rules", "rules"), noBackup: tab("backups"),
  openSet: () => [["play"], { operation: "access.listSets" }], certificate: figures("tls_certificate_not_after_timestamp_seconds", "tls_handshakes_total"), logsDropped: figures("log_lines_dropped_total", "log_lines_total"),
  disk: figures("storage_free_bytes", "storage_file_bytes", "storage_log_bytes", "storage_read_only"), storageSlow: figures("storage_sync_duration_seconds", "storage_batch_duration_seconds", "storage_backlog_bytes"), logGrows: figures("storage_log_bytes", "storage_file_bytes"),
};
const open = ({ kind, subject }) => go(...(SUBJECTS[kind]?.(subject) ?? [["play"], { operation: "server.stats" }]));

/** A cure that is a message can be sent as it stands, after it was looked at. */
function Apply({ cure, again }) {
  const [isOpen, open] = useState(false);
  const { value } = cure?.startsWith("{") ? parse(cure) : {};
  if (value?.type != "store.updateBucket") return null;
  const { type, ...fields } = value;
  return html`<${Do} change onClick=${() => open(true)}>Apply…<//>${isOpen && html`<${Confirm} title=${`Change bucket ${fields.name}`} yes="Apply" onClose=${() => open(false)} onYes=${async () => { await act(type, fields, `Bucket ${fields.name} is changed`); again(); }}><p>This is sent:</p><${Json} value=${value} /><//>`}`;
}

function Insights({ data, error, again }) {
  if (!data) return error ? html`<${Trouble} error=${error} />` : null;
  const all = data.insights;
  if (!all.length) return html`<section class="panel"><h2>Nothing needs attention</h2></section>`;
  return html`<section class="panel" aria-label="Attention"><h2>Attention <span class="muted">${all.length}</span></h2><div>
    ${all.map((one, at) => html`<div class="insight" key=${`${one.kind}${at}`}><${State} kind=${SEVERITY[one.severity] ?? "warn"}>${one.kind}<//>
      <div><p>${one.reason}</p><p class="muted small">${one.cure} ${one.since && html`· since <${Ago} at=${one.since} />`}</p></div>
      <div class="bar"><button type="button" onClick=${() => open(one)}>Open</button><button type="button" onClick=${() => copy(one.cure)}>Copy cure</button><${Apply} cure=${one.cure} again=${again} />
      ${one.kind == "behind" && html`<${Do} change danger onClick=${async () => { await act("server.disconnect", { connectionId: one.subject }, "Disconnected: it will come back"); again(); }}>Disconnect<//>`}</div></div>`)}</div></section>`;
}

/** The page of docs/javascript.md, with the address that this page has. */
const page = () => [
  `<script type="module">`, `  import { connect } from "${location.origin}/client.js";`, `  const kilns = connect().bucket("kilns");`,
  `  kilns.live({ sort: { heat: "desc" } })`, `    .subscribe(({ data }) => { document.body.textContent = JSON.stringify(data); });`, `  await kilns.insert({ heat: 1240 });`, `</script>`,
].join("\n");
const python = () => [
  `# pip install noex-client`, `import asyncio`, `from noex_client import NoexClient`, ``, `async def main():`, `    async with NoexClient("${location.origin.replace(/^http/, "ws")}/") as db:`, `        await db.store.bucket("kilns").insert({"heat": 1240})`, ``, `asyncio.run(main())`,
].join("\n");

/** Waits for the first record that another program writes. */
function First() {
  const began = useRef(Date.now());
  const { data } = useLive(() => app.db.bucket("kilns").live({ sort: { _createdAt: "desc" }, limit: 1 }), []);
  const row = Array.isArray(data) && data[0];
  const seen = useRef(0);
  if (row && !seen.current) seen.current = Date.now();
  if (!row) return html`<p role="status"><${State} kind="off">Waiting for your first record…<//></p>`;
  return html`<p role="status" class="flash"><${State} kind="good">Here it is:<//> <code>${JSON.stringify(row)}</code>
    ${row._createdAt > began.current && html` <span class="muted">${Math.max(0, seen.current - row._createdAt)} ms from commit to screen</span>`}</p>`;
}

function Start({ buckets, again }) {
  const [twin, set] = useState(false);
  const isMade = buckets.includes("kilns");
  const make = async () => {
    const config = { key: "id", schema: { id: { type: "string", generated: "uuid" }, heat: { type: "number" } } };
    if (!(await act("store.defineBucket", { name: "kilns", config, ifMissing: true }))) return;
    await act("store.defineQuery", { name: "hot", config: { bucket: "kilns", filter: { heat: { $gt: 1000 } }, sort: { heat: "desc" } }, ifMissing: true }, "Bucket kilns and query hot are there");
    again();
  };
  const remove = async () => {
    await act("store.undefineQuery", { name: "hot" });
    await act("store.dropBucket", { name: "kilns" }, "The sample is gone");
    again();
  };
  return html`<section class="panel on" aria-label="Start here"><h2>Start here</h2>
    <p>1. A sample: bucket <code>kilns</code> and live query <code>hot</code>. <span class="bar">${isMade ? html`<${State} kind="good">there<//><${Do} change onClick=${remove}>Remove the sample<//>` : html`<${Do} change primary onClick=${make}>Create a sample<//>`}</span></p>
    ${isMade && html`<div><p>2. Another program writes. <button type="button" class="plain" onClick=${() => set(!twin)}>${twin ? "as a page" : "in Python"}</button></p><${Code}>${twin ? python() : page()}<//></div>
      <div><p>3. It appears here:</p><${First} /></div>
      <p class="muted">4. Next: <code>--data-dir DIR</code> keeps data, <code>--auth</code> asks who somebody is, <code>noexd types</code> makes types of your buckets.</p>`}</section>`;
}

function Mine() {
  const { ping, user } = useApp();
  const who = usePoll(() => ask("auth.whoami"), 5000);
  const access = usePoll(() => ask("identity.myAccess").catch(() => null), 60000);
  // What may be sent is what it answers; it was opened so before.
  const limits = usePoll(() => ask("session.open", { commits: true, events: true }), 1e9);
  return html`<section class="panel"><h2>Your connection</h2><dl class="keys"><dt>Version</dt><dd>noexd ${version}</dd><dt>Latency</dt><dd>${ping == null ? "–" : `${ping} ms`}</dd>
    <dt>User</dt><dd>${user?.username ?? who.data?.userId ?? "nobody"}</dd><dt>Roles</dt><dd>${(who.data?.roles ?? []).join(", ") || "none"}</dd>
    <dt>Session ends</dt><dd>${user?.expiresAt ? html`<${Ago} at=${user.expiresAt} />` : "not by itself"}</dd>${limits.data && html`<dt>A message</dt><dd>${bytes(limits.data.maxPayloadBytes)} at most</dd><dt>Changes at a time</dt><dd>${count(limits.data.window)} without an answer</dd><dt>Heartbeat</dt><dd>every ${span(limits.data.heartbeatMs)}</dd>`}${access.data && html`<dt>Own access</dt><dd>${access.data.resources?.length ? plural(access.data.resources.length, "resource") : "by roles alone"}, see <a href="#/people/own">People</a></dd>`}</dl><${Trouble} error=${who.error} /></section>`;
}

/** What runs, what a write waits for, and since when: that is known a little later. */
function About({ durability }) {
  const { data } = usePoll(() => ask("server.metrics", { names: ["noexd_build_info", "process_start_time_seconds"] }), 5000);
  const started = data?.process_start_time_seconds;
  return data && html`<span class="muted">noexd ${data.noexd_build_info?.[0]?.labels?.version}${durability !== undefined && ` · ${durability ? `durability ${durability}` : "in memory"}`}${started && ` · up ${span(Date.now() - started * 1000)}`}</span>`;
}

export default function Now() {
  const stats = usePoll(() => ask("server.stats", { details: true }), 5000);
  const buckets = usePoll(() => ask("store.buckets"), 5000);
  const insights = usePoll(() => ask("server.insights"), 5000);
  const [started, set] = useState(false);
  const names = buckets.data?.names;
  const isMine = insights.error?.code == "FORBIDDEN";
  useEffect(() => { if (names && !names.length) set(true); }, [names?.length]);
  return html`<div class="tab"><header><h1>Now</h1><${About} durability=${stats.data?.durability} /></header>${isMine && html`<${Mine} />`}${names && !isMine && (started || names.length == 0) && html`<${Start} buckets=${names} again=${buckets.again} />`}<${Insights} ...${insights} /><${Figures} stats=${stats} /></div>`;
}
