// Procedures and logic: stored programs, derived views, computed fields,
// constraints, and a place to try an expression.
import {
  ByName, Confirm, Do, Drawer, Editor, Empty, Json, State, Table, Tabs, Trouble, act as send, app, ask, asks, count, dbNow, fail, go, html, parse, pretty, span, text, useApp, useEffect, useLive, usePoll, useState,
} from "../ui.js";
import Field from "./field.js";

/** Lists and plans are one's own to see; all else is done as whoever this page is now. */
const act = (type, fields, done) => send(type, fields, done, { acting: true });
/** Lists are for admins; who is refused one asks by name. */
const isRefused = (error) => error?.code == "FORBIDDEN";
const asked = new Set();
const EMPTY = { number: 0, boolean: false, object: {}, array: [] };
const PROCEDURE = { name: "close-ticket", input: { ticket: { type: "string", required: true } }, steps: [{ action: "store.update", bucket: "tickets", key: "{{ input.ticket }}", data: { open: false } }], transaction: true };

function Call({ definition }) {
  const inputs = Object.entries(definition.input ?? {});
  const [isForm, setForm] = useState(inputs.length > 0);
  const [given, give] = useState(() => Object.fromEntries(inputs.map(([name, type]) => [name, type.default ?? (type.required ? EMPTY[type.type] ?? "" : undefined)])));
  const [source, set] = useState("{}");
  const [answer, show] = useState(null);
  const [sure, sureOf] = useState(false);
  const { value, issue } = isForm ? { value: given } : parse(source);
  const call = () => (asked.has(definition.name) ? run() : sureOf(true));
  const run = async () => {
    const at = performance.now();
    asked.add(definition.name);
    try { show({ data: await asks("procedures.call", { name: definition.name, input: value }), ms: performance.now() - at }); } catch (error) { show({ error }); }
  };
  const failedAt = /\d+/.exec(answer?.error?.details?.step)?.[0];
  return html`${isForm ? html`<div class="fields" onKeyDown=${(event) => { if (event.key == "Enter" && (event.ctrlKey || event.metaKey) && !app.locked) event.preventDefault(), call(); }}>${inputs.map(([name, type]) => html`<label key=${name} for=${`field-${name}`}><span class="muted">${name}${type.required ? " *" : ""}</span><${Field} name=${name} type=${type} value=${given[name]} onInput=${(next) => give((old) => ({ ...old, [name]: next ?? undefined }))} /></label>`)}</div>`
    : html`<${Editor} label="Input" rows=${5} value=${source} onInput=${set} issues=${issue ? [issue] : []} onRun=${() => app.locked || issue || call()} />`}
    <p class="bar"><${Do} change primary disabled=${!!issue} onClick=${call}>Call<//><button type="button" onClick=${() => { set(pretty(given)); setForm(!isForm); }} disabled=${!inputs.length}>${isForm ? "As JSON" : "As a form"}</button>${answer?.ms != null && html`<span class="muted">${span(answer.ms)}</span>`}</p>
    ${answer?.error && html`<${Trouble} error=${answer.error} /><p class="muted small">${definition.transaction ? "Nothing took effect: it is a transaction." : failedAt != null ? `It stopped at step ${+failedAt + 1}: what the ${failedAt} before it did stays.` : "What the steps before did stays: it is no transaction."}</p>`}
    ${answer?.data !== undefined && html`<${Json} value=${answer.data} />`}
    ${sure && html`<${Confirm} title=${`Call ${definition.name}`} yes="Call" onClose=${() => sureOf(false)} onYes=${run}><p>Calling <b>${definition.name}</b> may change data. This is asked once.</p><//>`}`;
}

function Procedure({ name, again, onClose }) {
  const { data, error } = usePoll(() => asks("procedures.get", { name }), 30000, [name]);
  const [source, set] = useState(null);
  const [sure, sureOf] = useState(false);
  const { value, issue } = parse(source ?? "null");
  return html`<${Drawer} title=${name} wide onClose=${onClose}><${Trouble} error=${error} />${data && html`<${Call} key=${name} definition=${data} />
    <h2>Definition</h2>${source == null ? html`<${Json} value=${data} />` : html`<${Editor} label="Definition" rows=${16} value=${source} onInput=${set} issues=${issue ? [issue] : []} />`}
    <p class="bar">${source == null ? html`<button type="button" onClick=${() => set(pretty(data))}>Edit</button>` : html`<${Do} change primary disabled=${!!issue} onClick=${async () => { const { name: _, ...updates } = value; if (await act("procedures.update", { name, updates }, "The procedure is saved")) set(null), again(); }}>Save<//><button type="button" onClick=${() => set(null)}>Cancel</button>`}<span class="grow"></span><${Do} change danger onClick=${() => sureOf(true)}>Unregister…<//></p>`}
    ${sure && html`<${Confirm} title=${`Unregister ${name}`} yes="Unregister" onClose=${() => sureOf(false)} onYes=${async () => { if (await act("procedures.unregister", { name }, `Procedure ${name} is gone`)) again(), onClose(); }}><p>Procedure <b>${name}</b> is destroyed.</p><//>`}<//>`;
}

function Define({ title, sample, send, again, onClose }) {
  const [source, set] = useState(pretty(sample));
  const { value, issue } = parse(source);
  const save = async () => { if (await send(value)) again(), onClose(); };
  return html`<${Drawer} title=${title} wide onClose=${onClose}><${Editor} label="Definition" rows=${16} value=${source} onInput=${set} issues=${issue ? [issue] : []} onRun=${save} /><p class="bar"><${Do} change primary disabled=${!!issue} onClick=${save}>Define<//></p><//>`;
}

function Procedures() {
  const { route } = useApp();
  const [isNew, setNew] = useState(false);
  const { data, error, again } = usePoll(() => ask("procedures.list"), 5000);
  const rows = data?.procedures;
  const name = route[2];
  if (error && !isRefused(error)) return html`<${Trouble} error=${error} family="procedures" />`;
  return html`<div class="bar"><${Do} change primary onClick=${() => setNew(true)}>Register<//>${error && html`<${ByName} path=${["logic", "procedures"]} what="a procedure" />`}</div><${Trouble} error=${error} />
    <div class="split"><div class="main">${rows?.length ? html`<${Table} label="Procedures" rows=${rows} keyOf=${(row) => row.name} selected=${name} onOpen=${(row) => { setNew(false); go(["logic", "procedures", row.name]); }} columns=${[["procedure", (row) => row.name, { mono: true }], ["steps", (row) => row.stepsCount, { right: true }], ["for", (row) => row.description ?? ""]]} />` : rows && html`<${Empty} snippet=${pretty(PROCEDURE)}>No procedure yet.<//>`}</div>
    ${isNew ? html`<${Define} title="Register a procedure" sample=${PROCEDURE} again=${again} onClose=${() => setNew(false)} send=${(procedure) => act("procedures.register", { procedure }, "The procedure is registered")} />` : name && html`<${Procedure} key=${name} name=${name} again=${again} onClose=${() => go(["logic"])} />`}</div>`;
}

function ViewRows({ row, name, again, onClose }) {
  const live = useLive(row?.reactive ? () => dbNow().view(name) : null, [name, row?.reactive]);
  const once = usePoll(() => (row?.reactive ? Promise.resolve(null) : asks("logic.queryView", { name })), 5000, [name, row?.reactive]);
  const plan = usePoll(() => ask("logic.explainView", { name }), 30000, [name]);
  const data = row?.reactive ? live.data : once.data;
  return html`<${Drawer} title=${name} wide onClose=${onClose}><p>${row?.reactive ? html`<${State} kind=${live.status == "live" ? "good" : "warn"}>${live.status}<//>` : html`<${State} kind="off">asked every 5 s<//>`} <span class="muted">${Array.isArray(data) ? `${count(data.length)} rows` : ""}</span></p><${Trouble} error=${live.error ?? once.error} />${data && html`<${Json} value=${data.slice(0, 100)} />`}
    <h2>Plan</h2>${plan.data ? html`<${Json} value=${plan.data} />` : html`<${Trouble} error=${plan.error} />`}<p class="bar"><${Do} change danger onClick=${async () => { if (await act("logic.dropView", { name }, `View ${name} is gone`)) again?.(), onClose(); }}>Drop ${name}<//></p><//>`;
}

const LISTS = {
  views: ["logic.listViews", "view", { name: "owed", from: { i: "invoices" }, select: { client: "i.client", sum: { $sum: "i.total" } }, groupBy: ["i.client"], reactive: true }, (value) => act("logic.defineView", { definition: value }, "The view is defined"),
    [["view", (row) => row.name, { mono: true }], ["from", (row) => text(row.from), { mono: true }], ["", (row) => (row.reactive ? html`<${State} kind="good">reactive<//>` : "")], ["rows", (row) => count(row.resultCount), { right: true }]]],
  computed: ["logic.listComputed", "computed field", { bucket: "parts", fields: { worth: { depends: ["qty", "price"], expr: { $multiply: ["$qty", "$price"] } } } }, (value) => act("logic.defineComputed", value, "The fields are defined"),
    [["bucket", (row) => row.bucket, { mono: true }], ["fields", (row) => text(row.fields), { mono: true }], ["", (row, again) => html`<${Do} change danger onClick=${() => act("logic.dropComputed", { bucket: row.bucket }, "The fields are gone").then(again)}>Drop<//>`, { act: true }]]],
  constraints: ["logic.listConstraints", "constraint", { name: "in-stock", on: "parts", expr: { $gte: ["$qty", 0] }, message: "not in stock" }, (value) => act("logic.defineConstraint", { constraint: value }, "The constraint is defined"),
    [["constraint", (row) => row.name, { mono: true }], ["bucket", (row) => text(row.on), { mono: true }], ["must hold", (row) => text(row.expr), { mono: true }], ["", (row, again) => html`<${Do} change danger onClick=${() => act("logic.dropConstraint", { name: row.name }, "The constraint is gone").then(again)}>Drop<//>`, { act: true }]]],
};

function List({ part }) {
  const { route } = useApp();
  const [operation, what, sample, send, columns] = LISTS[part];
  const [isNew, setNew] = useState(false);
  const { data, error, again } = usePoll(() => ask(operation), 5000, [part]);
  const rows = Array.isArray(data) ? data : [];
  if (error && !isRefused(error)) return html`<${Trouble} error=${error} family="logic" />`;
  return html`<div class="bar"><${Do} change primary onClick=${() => setNew(true)}>Define a ${what}<//>${error && part == "views" && html`<${ByName} path=${["logic", "views"]} what="a view" />`}</div><${Trouble} error=${error} /><div class="split"><div class="main">${rows.length ? html`<${Table} label=${part} rows=${rows} keyOf=${(row) => row.name ?? row.bucket} selected=${route[2]} onOpen=${part == "views" ? (row) => { setNew(false); go(["logic", "views", row.name]); } : undefined} columns=${columns.map(([title, cell, o]) => [title, (row) => cell(row, again), o])} />` : data && html`<${Empty} snippet=${pretty(sample)}>No ${what} yet.<//>`}</div>
    ${isNew ? html`<${Define} title=${`Define a ${what}`} sample=${sample} send=${send} again=${again} onClose=${() => setNew(false)} />` : part == "views" && route[2] && html`<${ViewRows} key=${route[2]} name=${route[2]} row=${rows.find((row) => row.name == route[2])} again=${again} onClose=${() => go(["logic", "views"])} />`}</div>`;
}

function Expression() {
  const [expr, setExpr] = useState(`{"$multiply": ["$qty", "$price"]}`);
  const [record, setRecord] = useState(`{"qty": 3, "price": 4}`);
  const [answer, show] = useState({});
  const take = async (event) => {
    event.preventDefault();
    const [bucket, typed] = [event.target.elements.bucket.value, event.target.elements.key.value];
    const { value, issue } = parse(typed);
    try { setRecord(pretty(await asks("store.get", { bucket, key: issue ? typed : value }))); } catch (why) { fail(why, "store.get", { bucket }); }
  };
  const [one, two] = [parse(expr), parse(record)];
  useEffect(() => {
    if (one.issue || two.issue) return;
    const timer = setTimeout(() => asks("logic.evaluateExpr", { expr: one.value, record: two.value }).then((value) => show({ value }), (error) => show({ error })), 300);
    return () => clearTimeout(timer);
  }, [expr, record]);
  return html`<h2>Expression</h2><${Editor} label="Expression" rows=${6} value=${expr} onInput=${setExpr} issues=${one.issue ? [one.issue] : []} /><form class="bar end" onSubmit=${take}><label>Record of bucket<input name="bucket" required /></label><label>with key<input name="key" required /></label><button>Take it</button></form><${Editor} label="Record" rows=${6} value=${record} onInput=${setRecord} issues=${two.issue ? [two.issue] : []} /><h2>Value</h2>${answer.error ? html`<${Trouble} error=${answer.error} family="logic" />` : html`<${Json} value=${answer.value ?? null} />`}`;
}

export default function Logic() {
  const { route } = useApp();
  const tabs = [["procedures", "Procedures"], ["views", "Views"], ["computed", "Computed"], ["constraints", "Constraints"], ["expression", "Expression"]];
  const part = tabs.some(([id]) => id == route[1]) ? route[1] : "procedures";
  return html`<div class="tab"><header><h1>Procedures & logic</h1></header><${Tabs} label="Parts" all=${tabs} now=${part} onPick=${(id) => go(["logic", id])} />${part == "procedures" ? html`<${Procedures} />` : part == "expression" ? html`<${Expression} />` : html`<${List} key=${part} part=${part} />`}</div>`;
}
