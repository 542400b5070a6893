// Audit: who did what, newest first, and as it happens.
import {
  Drawer, Empty, Id, Json, State, Table, Trouble, app, ask, download, fail, go, html, short, useApp, useKeys, usePoll, useState, clock,
} from "../ui.js";

const PAGE = 100;
const SPANS = { "24 h": 864e5, "1 h": 36e5, "7 d": 6048e5, all: 0 };

export default function Audit() {
  const { query } = useApp();
  const [isTail, tail] = useState(true);
  const [page, turn] = useState(0);
  const [entry, open] = useState(null);
  const wanted = Object.fromEntries(["userId", "operation", "result", "span"].map((name) => [name, query.get(name) || ""]));
  const fields = { ...Object.fromEntries(Object.entries(wanted).filter(([name, value]) => value && name != "span")), ...(SPANS[wanted.span || "24 h"] && { from: Date.now() - SPANS[wanted.span || "24 h"] }) };
  const { data, error } = usePoll(() => ask("audit.query", { ...fields, limit: PAGE, offset: page * PAGE }), isTail && !page ? 2000 : 1e9, [query.toString(), page, isTail]);
  // The protocol has no filter by address: of what is shown.
  const [address, only] = useState(null);
  const rows = (data?.entries ?? []).filter((one) => !address || one.remoteAddress == address);
  const set = (part) => { turn(0); go(["audit"], { ...wanted, ...part }); };
  useKeys({ t: () => { tail((on) => !on); return true; } });
  const save = async () => {
    const lines = [];
    try {
      // The log grows meanwhile, at the end from which it is counted: what is newer is left out.
      const { entries: [newest] } = await ask("audit.query", { ...fields, limit: 1 });
      for (let offset = 0; newest; offset += 1000) {
        const { entries } = await ask("audit.query", { ...fields, to: newest.timestamp, limit: 1000, offset });
        lines.push(...entries.map((one) => JSON.stringify(one) + "\n"));
        if (entries.length < 1000) break;
      }
      download("audit.jsonl", lines);
    } catch (why) { fail(why, "audit.query"); }
  };
  return html`<div class="tab"><header><h1>Audit</h1><button type="button" aria-pressed=${isTail ? "true" : "false"} onClick=${() => tail(!isTail)}>${isTail ? "Tail on" : "Tail off"}</button><span class="grow"></span><button type="button" onClick=${save}>Export</button></header>
    <div class="bar end"><label>User<input data-filter value=${wanted.userId} onChange=${(event) => set({ userId: event.target.value })} /></label><label>Operation<input list="operations" value=${wanted.operation} onChange=${(event) => set({ operation: event.target.value })} /></label><datalist id="operations">${Object.keys(app.ops ?? {}).map((one) => html`<option value=${one} />`)}</datalist>
      <label>Result<select value=${wanted.result} onChange=${(event) => set({ result: event.target.value })}><option value="">any</option><option>success</option><option>error</option></select></label><label>Last<select value=${wanted.span || "24 h"} onChange=${(event) => set({ span: event.target.value })}>${Object.keys(SPANS).map((one) => html`<option>${one}</option>`)}</select></label></div>
    ${address && html`<p class="chips"><span class="chip">address ${address}, of this page<button type="button" aria-label="Remove the address" onClick=${() => only(null)}>✕</button></span></p>`}
    <${Trouble} error=${error} family="audit" />
    <div class="split"><div class="main">${rows.length ? html`<${Table} label="Entries" rows=${rows} keyOf=${(row) => `${row.timestamp} ${row.sessionId} ${row.operation} ${row.resource}`} selected=${entry && `${entry.timestamp} ${entry.sessionId} ${entry.operation} ${entry.resource}`} onOpen=${open} columns=${[["time", (row) => html`<time title=${new Date(row.timestamp).toISOString()}>${clock(row.timestamp)}</time>`], ["operation", (row) => row.operation, { mono: true }], ["user", (row) => (row.userId ? html`<${Id} id=${row.userId} />` : html`<span class="muted">nobody</span>`)], ["resource", (row) => html`<span title=${row.resource}>${String(row.resource ?? "").replace(/[0-9a-f-]{36}/, short)}</span>`, { mono: true }], ["result", (row) => html`<${State} kind=${row.result == "success" ? "good" : "bad"}>${row.result}<//>`], ["", (row) => row.error ?? row.details?.error ?? ""], ["address", (row) => row.remoteAddress ?? "", { mono: true }]]} />
      <p class="bar"><button type="button" disabled=${page == 0} onClick=${() => turn(page - 1)}>Newer</button><button type="button" disabled=${(data?.entries ?? []).length < PAGE} onClick=${() => turn(page + 1)}>Older</button></p>` : data && html`<${Empty}>No entry matches.<//>`}</div>
    ${entry && html`<${Drawer} title=${entry.operation} onClose=${() => open(null)}><${Json} value=${entry} /><p class="bar">${entry.userId && html`<button type="button" onClick=${() => set({ userId: entry.userId })}>Same user</button>`}<button type="button" onClick=${() => set({ operation: entry.operation })}>Same operation</button>${entry.remoteAddress && html`<button type="button" onClick=${() => only(entry.remoteAddress)}>Same address</button>`}</p><//>`}</div></div>`;
}
