// Live views: what is kept up to date for whom, and what that costs.
import {
  Confirm, Do, Drawer, Editor, Empty, Json, State, Table, Trouble, act, app, ask, bytes, count, go, html, parse, pretty, span, useApp, useLive, usePoll, useState, text,
} from "../ui.js";

const micros = (n) => (n == null ? "–" : n < 1000 ? `${Math.round(n)} µs` : span(n / 1000));

function Result({ query, params }) {
  const { data, status, error } = useLive(() => app.db.live(query, params), [query, JSON.stringify(params)]);
  if (error) return html`<${Trouble} error=${error} />`;
  const rows = Array.isArray(data) ? data.slice(0, 100) : data;
  return html`<p><${State} kind=${status == "live" ? "good" : "warn"}>${status}<//> ${Array.isArray(data) && html`<span class="muted">${count(data.length)} rows</span>`}</p>${data !== undefined && html`<${Json} value=${rows} />`}`;
}

function View({ name, row, config, onClose, again }) {
  const plan = usePoll(() => (name ? ask("store.explain", { bucket: config?.bucket ?? row?.buckets?.[0], query: name }) : Promise.resolve(null)), 5000, [name]);
  const [source, set] = useState("{}");
  const [params, run] = useState(row?.params && parse(row.params).value ? parse(row.params).value : null);
  const [sure, sureOf] = useState(false);
  const { value, issue } = parse(source);
  const wants = /\{\{\s*params\./.test(JSON.stringify(config ?? {}));
  return html`<${Drawer} title=${name ?? row.query ?? row.view} wide onClose=${onClose}>
    ${row && html`<dl class="keys"><dt>state</dt><dd>${row.state}${row.fallback ? ` (${text(row.fallback)})` : ""}</dd><dt>routed by</dt><dd>${text(row.routedBy) || "every change"}</dd><dt>commits</dt><dd>${count(row.commits)}, ${count(row.reruns)} run again, ${count(row.refills)} refilled</dd><dt>subscribers</dt><dd>${count(row.subscribers)}, ${count(row.deltaSubscribers)} by delta, ${count(row.staleSubscribers)} stale</dd></dl>`}
    ${row?.reruns > 0 && html`<p><${State} kind="warn">It is run again${row.fallback ? `: ${text(row.fallback)}` : ""}<//> <span class="muted">A column of one type and a limit let it be maintained.</span></p>`}
    ${config && html`<h2>Definition</h2><${Json} value=${config} />`}
    ${name && html`<h2>Result</h2>${wants && html`<${Editor} label="Parameters" rows=${3} value=${source} onInput=${set} issues=${issue ? [issue] : []} onRun=${() => run(value)} /><p class="bar"><button type="button" disabled=${!!issue} onClick=${() => run(value)}>Try</button></p>`}
      ${(!wants || params) && html`<${Result} query=${name} params=${params ?? undefined} />`}`}
    ${plan.data && html`<h2>Plan</h2><${Json} value=${plan.data} />`}
    ${config && html`<p class="bar"><${Do} change danger onClick=${() => sureOf(true)}>Undefine…<//></p>`}
    ${sure && html`<${Confirm} title=${`Undefine ${name}`} yes="Undefine" onClose=${() => sureOf(false)} onYes=${async () => { if (await act("store.undefineQuery", { name }, `Query ${name} is gone`)) again(), onClose(); }}><p>Whoever is subscribed to <b>${name}</b> is told that it ended.</p><//>`}<//>`;
}

function Define({ onClose, again }) {
  const [name, setName] = useState("");
  const [source, set] = useState(pretty({ bucket: "", filter: {}, sort: {}, limit: 50 }));
  const { value, issue } = parse(source);
  const save = async () => { if (await act("store.defineQuery", { name, config: value }, `Query ${name} is defined`)) again(), onClose(); };
  return html`<${Drawer} title="Define a query" onClose=${onClose}><label>Name<input value=${name} onInput=${(event) => setName(event.target.value)} /></label>
    <${Editor} label="Definition" rows=${12} value=${source} onInput=${set} issues=${issue ? [issue] : []} onRun=${save} /><p class="bar"><${Do} change primary disabled=${!!issue || !name} onClick=${save}>Define<//></p><//>`;
}

export default function Views() {
  const { route } = useApp();
  const [sort, setSort] = useState("cost");
  const [wanted, want] = useState("");
  const [isNew, setNew] = useState(false);
  const [view, open] = useState(null);
  const views = usePoll(() => ask("server.views", { sort }), 5000, [sort]);
  const queries = usePoll(() => ask("store.listQueries"), 5000);
  const defined = queries.data?.queries ?? [];
  const live = views.data?.rows ?? [];
  const rows = [...live, ...defined.filter((one) => !live.some((row) => row.query == one.name)).map((one) => ({ view: `query ${one.name}`, query: one.name, buckets: [one.config?.bucket], subscribers: 0, isIdle: true }))]
    .filter((row) => `${row.query ?? ""} ${(row.buckets ?? []).join(" ")}`.toLowerCase().includes(wanted.toLowerCase()));
  const chosen = view ? rows.find((row) => row.view == view) : route[1] ? rows.find((row) => row.query == route[1]) : null;
  const cost = (row) => (row.commits ? row.updateMicros?.total / row.commits : null);
  return html`<div class="tab"><header><h1>Live views</h1><input data-filter aria-label="Filter by query or bucket" placeholder="query or bucket" value=${wanted} onInput=${(event) => want(event.target.value)} />
      <span class="muted">${count(views.data?.views)} kept, ${bytes(views.data?.bytes)}</span><span class="grow"></span><${Do} change onClick=${() => setNew(true)}>Define a query<//></header>
    <${Trouble} error=${views.error} />
    <div class="split"><div class="main">${rows.length ? html`<${Table} label="Views" rows=${rows} keyOf=${(row) => row.view} selected=${chosen?.view} order=${sort} onOrder=${setSort} onOpen=${(row) => { setNew(false); open(row.view); }} columns=${[
      ["query", (row) => row.query ?? html`<span class="muted">without a name</span>`], ["subscribers", (row) => count(row.subscribers), { right: true, by: "subscribers" }],
      ["params", (row) => (row.params && row.params != "{}" ? row.params : ""), { mono: true }], ["bucket", (row) => (row.buckets ?? []).join(", ")], ["rows", (row) => count(row.rows), { right: true, by: "rows" }], ["bytes", (row) => (row.bytes == null ? "" : bytes(row.bytes)), { right: true, by: "bytes" }],
      ["commits", (row) => (row.isIdle ? "" : count(row.commits)), { right: true }], ["reruns", (row) => (row.isIdle ? "" : row.reruns > 0 ? html`<${State} kind="warn">${count(row.reruns)}<//>` : "0"), { right: true, by: "reruns" }],
      ["per commit", (row) => (row.isIdle ? "" : micros(cost(row))), { right: true, by: "cost" }], ["pushed", (row) => (row.isIdle ? "" : bytes(row.pushedBytes)), { right: true, by: "pushed" }]]} />`
      : views.data && html`<${Empty} snippet=${`db.live("hot").subscribe(({ data }) => draw(data));`}>Nobody is subscribed.<//>`}</div>
    ${isNew ? html`<${Define} onClose=${() => setNew(false)} again=${queries.again} />` : chosen && html`<${View} key=${chosen.view} name=${defined.some((one) => one.name == chosen.query) ? chosen.query : null} row=${chosen.isIdle ? null : chosen} config=${defined.find((one) => one.name == chosen.query)?.config} again=${queries.again} onClose=${() => { open(null); if (route[1]) go(["views"]); }} />`}</div></div>`;
}
