// Who is slow: what each connection costs and whether it keeps up.
import {
  Ago, Confirm, Do, Drawer, Id, State, Table, Trouble, act, app, ask, bytes, clock, count, go, html, rowAt, short, span, text, useApp, useEffect, useKeys, usePoll, useRef, useState,
} from "../ui.js";

const MOST_LINES = 200;
const LASTS = 300000;
/** The traces of this page, by what they are of: a server has four. */
const running = new Map();

const left = (ms) => `${Math.floor(Math.max(0, ms) / 60000)}:${String(Math.floor(Math.max(0, ms) / 1000) % 60).padStart(2, "0")}`;

/** A trace of one connection or rule; ends by itself. */
export function Trace({ target, label, line }) {
  const [lines, set] = useState([]);
  const [state, become] = useState({});
  const stop = useRef(() => {});
  const [, tick] = useState(0);
  const [tries, again] = useState(0);
  useEffect(() => {
    let isOver = false;
    become({});
    app.db.watch("server.trace", { ...target, maxEntries: MOST_LINES, durationMs: LASTS }, (entry) => {
      if (entry.kind == "end") return running.delete(label), become({ ended: entry.reason });
      set((old) => [entry, ...old].slice(0, MOST_LINES));
    }).then((end) => {
      if (isOver) return end();
      stop.current = () => { running.delete(label); end(); become({ ended: "stopped" }); };
      running.set(label, stop.current);
      become({ endsAt: Date.now() + LASTS });
    }, (error) => become({ error }));
    const timer = setInterval(() => tick((n) => n + 1), 1000);
    return () => { isOver = true; clearInterval(timer); stop.current(); stop.current = () => {}; };
  }, [JSON.stringify(target), tries]);
  if (state.error) return state.error.code == "UNKNOWN_OPERATION" ? html`<p class="muted">This server has no traces.</p>` : html`<${Trouble} error=${state.error} />${[...running].map(([name, end]) => html`<p class="bar" key=${name}>${name}<button type="button" onClick=${() => { end(); again(tries + 1); }}>Stop it</button></p>`)}<button type="button" onClick=${() => again(tries + 1)}>Try again</button>`;
  return html`<p class="bar">${state.ended ? html`<${State} kind="off">ended: ${state.ended}<//>` : state.endsAt ? html`<${State} kind="good">TRACE ${left(state.endsAt - Date.now())} left<//><button type="button" onClick=${() => stop.current()}>Stop</button>` : "…"}</p>
    ${lines.length == 0 && html`<p class="muted">Nothing yet.</p>`}<div class="json" role="log" aria-label=${label} tabindex="0">${lines.map((entry) => html`<div key=${entry.n}><span class="muted">${clock(entry.at)}</span> ${line(entry)}</div>`)}</div>`;
}

const told = (entry) => entry.kind == "request" ? `${entry.type} ${entry.resource ?? ""} ${entry.result}${entry.code ? ` ${entry.code}` : ""} ${count(entry.micros)} µs ${bytes(entry.bytes)}`
  : entry.kind == "push" ? `push ${entry.channel} ${bytes(entry.bytes)}` : entry.kind == "state" ? `${entry.event}` : text(entry);

export default function Slow() {
  const [sort, setSort] = useState("behind");
  const id = useApp().route[1];
  const open = (next) => go(["slow", ...(next ? [next] : [])]);
  const [sure, ask2] = useState(null);
  const { data, error, again } = usePoll(() => ask("server.top", { sort, limit: 200 }), 1000, [sort]);
  const rows = data?.rows ?? [];
  const row = rows.find((one) => one.connectionId == id);
  const behind = rows.filter((one) => one.behindMs > 1000).length;
  const aim = () => rowAt(rows) ?? row;
  useKeys({
    t: () => { const one = aim(); if (one) open(one.connectionId); return one; },
    x: () => { const one = aim(); if (one && !app.locked) ask2({ connectionId: one.connectionId, name: one.connectionId }); return one; },
  });
  return html`<div class="tab"><header><h1>Who is slow</h1>${data && (behind ? html`<${State} kind="warn">${count(behind)} behind<//>` : html`<${State} kind="good">Nobody is behind<//>`)}<span class="grow"></span><span class="muted">${count(data?.connections)} connections, ${bytes(data?.bufferedBytes)} buffered</span></header>
    <${Trouble} error=${error} />
    <div class="split"><div class="main">${data && html`<${Table} label="Connections" rows=${rows} keyOf=${(one) => one.connectionId} selected=${id} order=${sort} onOrder=${setSort} onOpen=${(one) => open(one.connectionId)} columns=${[
      ["connection", (one) => one.connectionId, { mono: true }], ["behind", (one) => (one.behindMs > 1000 ? html`<${State} kind="warn">${span(one.behindMs)}<//>` : "0"), { right: true, by: "behind" }],
      ["user", (one) => (one.userId ? html`<${Id} id=${one.userId} />` : html`<span class="muted">nobody</span>`)], ["address", (one) => one.remoteAddress, { mono: true }], ["buffered", (one) => bytes(one.bufferedBytes), { right: true, by: "buffered" }], ["ping", (one) => (one.pingMs == null ? "–" : span(one.pingMs)), { right: true, by: "ping" }],
      ["req/s", (one) => count(one.requestsPerSecond), { right: true, by: "requests" }], ["loop", (one) => `${Math.round(one.loopShare * 100)} %`, { right: true, by: "loop" }], ["errors", (one) => count(one.errors), { right: true, by: "errors" }], ["stale", (one) => count(one.staleSubscriptions), { right: true, by: "stale" }], ["waiting", (one) => one.waiting ?? ""]]} />`}</div>
    ${row && html`<${Drawer} key=${id} title=${id} onClose=${() => open(null)}>
      <dl class="keys"><dt>user</dt><dd>${row.userId ?? "nobody"}</dd><dt>address</dt><dd>${row.remoteAddress}</dd><dt>program</dt><dd>${row.userAgent ?? "not said"}</dd><dt>since</dt><dd><${Ago} at=${row.connectedAt} /></dd><dt>received</dt><dd>${bytes(row.receivedBytes)}</dd><dt>sent</dt><dd>${bytes(row.sentBytes)}</dd><dt>most buffered</dt><dd>${bytes(row.largestBufferedBytes)}</dd><dt>subscriptions</dt><dd>${count(row.subscriptions)}, ${count(row.skippedPushes)} pushes skipped</dd></dl>
      <p class="bar"><${Do} change danger onClick=${() => ask2({ connectionId: id, name: id })}>Disconnect<//>${row.userId && html`<${Do} change danger onClick=${() => ask2({ userId: row.userId, name: `all of ${row.userId}` })}>All of ${short(row.userId)}<//><${Do} change danger title="keeps the user out until it is lifted" onClick=${() => ask2({ userId: row.userId, name: `all of ${row.userId}`, isOut: true })}>Revoke sessions<//>`}</p>
      <h2>Trace</h2><${Trace} target=${{ connectionId: id }} label=${`Trace of ${id}`} line=${told} /><//>`}</div>
    ${sure && html`<${Confirm} title=${`${sure.isOut ? "Revoke" : "Disconnect"} ${sure.name}`} yes=${sure.isOut ? "Revoke" : "Disconnect"} onClose=${() => ask2(null)} onYes=${async () => { const { name, isOut, ...target } = sure; await act(isOut ? "server.revokeSessions" : "server.disconnect", target, (answer) => `${count(answer.disconnected ?? answer.revoked)} disconnected`); again(); }}><p>${sure.isOut ? "Its connections are closed, and the user cannot log in until that is lifted." : "Its connection is closed; it will come back."}</p><//>`}</div>`;
}
