// Playground: any operation, with its answer as it came.
import {
  Do, Editor, Json, State, Table, Trouble, STREAMS, app, ask, asks, bytes, changes, copy, count, html, parse, pretty, seems, streamed, text, useApp, useEffect, useLayoutEffect, useRef, useState,
} from "../ui.js";

const SECRET = /^(password|secret|token|newPassword|currentPassword)$/;
const masked = (fields) => JSON.parse(JSON.stringify(fields, (name, value) => (SECRET.test(name) ? "•••" : value)));
const MOST = 100;
const history = [];
const SAMPLES = { filter: {}, data: {}, params: {}, config: {}, operations: [], limit: 50, n: 10, details: true, rule: {}, procedure: {}, record: {}, pattern: "*", topic: "sensor.reading", sort: {} };

/** Where there is room for a name, the names that fit. */
function useNames() {
  const [names, set] = useState({});
  useEffect(() => {
    asks("store.buckets").then((answer) => set((old) => ({ ...old, bucket: answer.names })), () => {});
    for (const [type, name, take] of [["store.listQueries", "query", (answer) => answer.queries.map((one) => one.name)], ["rules.getRules", "ruleId", (answer) => answer.rules.map((one) => one.id)], ["procedures.list", "procedure", (answer) => answer.procedures.map((one) => one.name)]])
      if (seems("admin", type)) ask(type).then((answer) => set((old) => ({ ...old, [name]: take(answer) })), () => {});
  }, []);
  return names;
}

/** As Python says it. */
const py = (value) => (value === null ? "None" : value === true ? "True" : value === false ? "False" : Array.isArray(value) ? `[${value.map(py).join(", ")}]`
  : typeof value == "object" ? `{${Object.entries(value).map(([name, one]) => `${JSON.stringify(name)}: ${py(one)}`).join(", ")}}` : JSON.stringify(value));
const COPIES = {
  JavaScript: (type, fields) => { const [family, name] = type.split("."); const args = Object.keys(fields).length ? JSON.stringify(fields) : ""; return name ? `await db.${family}.${name}(${args});` : `await db.request(${JSON.stringify(type)});`; },
  Python: (type, fields) => `await client.request(${JSON.stringify(type)}, ${py(fields)})`,
  curl: (type, fields) => `curl -s ${new URL(app.config.rpc, location.href.split("#")[0])} -H 'Content-Type: application/json'${app.config.auth == "open" ? "" : ' -H "Authorization: Bearer $NOEXD_TOKEN"'} -d '${JSON.stringify({ type, ...fields }).replaceAll("'", "'\\''")}'`,
};

const OPERATORS = "$eq $neq $gt $gte $lt $lte $in $nin $contains $startsWith $endsWith $exists $between $search $and $or $not".split(" ");
/** The word before the caret, and what it may become. */
export function completions(source, caret, words) {
  const typed = /[\w$.-]*$/.exec(source.slice(0, caret))[0];
  return { typed, found: [...new Set(words)].filter((word) => word.toLowerCase().startsWith(typed.toLowerCase()) && word != typed).slice(0, 8) };
}

/** Objects of one line each, as operations of a transaction. */
const linesOf = (source) => { const all = source.split("\n").filter((line) => line.trim()).map(parse); return all.length > 1 && all.every(({ value }) => value?.op) ? all.map(({ value }) => value) : null; };

/** A value that is opened where one looks; what is closed is not drawn. */
function Tree({ name, value, isOpen }) {
  const [open, set] = useState(isOpen);
  if (value === null || typeof value != "object") return html`<li class="mono">${name != null && html`<span class="j-k">${name}</span>: `}${JSON.stringify(value)}</li>`;
  const all = Object.entries(value);
  return html`<li><details open=${open} onToggle=${(event) => set(event.currentTarget.open)}><summary class="mono">${name != null && html`<span class="j-k">${name}</span> `}<span class="muted">${Array.isArray(value) ? `[${count(all.length)}]` : `{${count(all.length)}}`}</span></summary>${open && html`<ul class="tree">${all.slice(0, 1000).map(([one, each]) => html`<${Tree} key=${one} name=${one} value=${each} isOpen=${all.length < 20 && isOpen} />`)}${all.length > 1000 && html`<li class="muted">… ${count(all.length - 1000)} more</li>`}</ul>`}</details></li>`;
}

export default function Play() {
  const { ops, query, config, locked, acting } = useApp();
  const [operation, pick] = useState(query.get("operation") || "store.buckets");
  const [source, set] = useState("{}");
  const [answers, show] = useState([]);
  const [form, setForm] = useState("text");
  const [at, move] = useState(-1);
  const [stream, setStream] = useState(null);
  const names = useNames();
  const box = useRef();
  const [needs, , fieldText] = ops?.[operation] ?? ["none", 0, ""];
  const fields = fieldText ? fieldText.split(" ") : [];
  const lines = linesOf(source);
  const { value, issue } = lines ? { value: lines } : parse(source);
  // At once: who types on types into what was chosen.
  useLayoutEffect(() => {
    if (!query.get("operation")) return;
    choose(query.get("operation"));
    const { value: given } = parse(query.get("fields") ?? "");
    if (given) set(pretty(given));
  }, [query.get("operation"), query.get("fields"), !!ops]);
  useEffect(() => { if (value?.bucket === "" && names.bucket?.length) set(pretty({ ...value, bucket: names.bucket[0] })); }, [names.bucket]);
  function choose(name) {
    pick(name);
    const wanted = (ops?.[name]?.[2] ?? "").split(" ").filter(Boolean).slice(0, 3);
    set(pretty(Object.fromEntries(wanted.map((field) => [field, field == "bucket" ? names.bucket?.[0] ?? "" : SAMPLES[field] ?? ""]))));
  }
  const request = () => (Array.isArray(value) ? ["store.transaction", { operations: value }] : [operation, value]);
  const run = async () => {
    if (issue) return;
    const [type, sent] = request();
    history.unshift({ operation: type, source: pretty(masked(sent)) });
    history.length = Math.min(history.length, MOST);
    move(-1);
    const began = performance.now();
    const done = (part) => show((old) => [{ n: (old[0]?.n ?? 0) + 1, type, ms: performance.now() - began, source, ...part }, ...old].slice(0, 20));
    try {
      if (!STREAMS.test(type)) return done({ data: await asks(type, sent) });
      stream?.stop();
      setStream(null);
      done({ data: await streamed(type, sent, setStream) });
    } catch (error) {
      done({ error });
    }
  };
  const [schema, setSchema] = useState([]);
  const bucket = value?.bucket;
  useEffect(() => { if (bucket && seems("admin", "store.getBucketSchema")) ask("store.getBucketSchema", { name: bucket }).then((answer) => setSchema(Object.keys(answer.config?.schema ?? {})), () => setSchema([])); }, [bucket]);
  const [offer, setOffer] = useState(null);
  const complete = (area) => setOffer({ at: 0, area, ...completions(source, area.selectionStart, [...fields, ...schema, ...Object.values(names).flat(), ...OPERATORS]) });
  const put = useRef();
  // At once: who types on types behind the word.
  useLayoutEffect(() => { put.current?.(); put.current = null; }, [source]);
  const accept = (word) => {
    const { area, typed } = offer;
    const caret = area.selectionStart;
    set(source.slice(0, caret - typed.length) + word + source.slice(caret));
    setOffer(null);
    area.focus();
    put.current = () => area.setSelectionRange(caret - typed.length + word.length, caret - typed.length + word.length);
  };
  const step = (by) => {
    const next = Math.max(-1, Math.min(history.length - 1, at + by));
    move(next);
    if (history[next]) pick(history[next].operation), set(history[next].source);
  };
  const key = (event) => {
    if (event.altKey && (event.key == "ArrowUp" || event.key == "ArrowDown")) event.preventDefault(), step(event.key == "ArrowUp" ? 1 : -1);
    const area = event.target.closest("textarea");
    if (event.ctrlKey && event.key == " ") { event.preventDefault(); if (area) complete(area); else box.current.querySelector("input").focus(); return; }
    if (!offer) return;
    const by = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (by && offer.found.length) event.preventDefault(), setOffer({ ...offer, at: (offer.at + by + offer.found.length) % offer.found.length });
    else if ((event.key == "Enter" || event.key == "Tab") && offer.found.length) event.preventDefault(), event.stopPropagation(), accept(offer.found[offer.at]);
    else if (event.key == "Escape") event.preventDefault(), setOffer(null);
    else if (event.key.length == 1 || event.key == "Backspace") setOffer(null);
  };
  useEffect(() => () => stream?.stop(), [stream?.stop]);
  const isChange = changes(...request());
  const latest = answers[0];
  // What the answer complains of, at the line where it stands.
  const marked = latest?.error && latest.source == source ? [...(latest.error.issues ?? []).map((one) => [`"${one.field}"`, one.message]), ...(latest.error.message.match(/"[^"]+"/g) ?? []).map((word) => [word, latest.error.message])]
    .filter(([word]) => source.includes(word)).slice(0, latest.error.issues?.length || 1).map(([word, what]) => `line ${source.slice(0, source.indexOf(word)).split("\n").length}, ${word}: ${what}`) : [];
  const rows = Array.isArray(latest?.data) ? latest.data : latest?.data && Object.values(latest.data).find(Array.isArray);
  return html`<div class="tab" ref=${box} onKeyDownCapture=${key}><header><h1>Playground</h1><span class="muted">needs ${needs}${isChange ? ", changes something" : ""}</span>${isChange && locked && html`<${State} kind="warn">locked: unlock to change<//>`}</header>
    <div class="bar end"><label>Operation<input list="all-operations" value=${operation} size="32" class="mono" onInput=${(event) => (ops?.[event.target.value] ? choose(event.target.value) : pick(event.target.value))} /></label><datalist id="all-operations">${Object.entries(ops ?? {}).map(([name, [tierOf]]) => html`<option value=${name}>${seems(tierOf, name) ? "" : `needs ${tierOf}`}</option>`)}</datalist>
      ${fields.filter((name) => names[name]).map((name) => html`<label key=${name}>${name}<select value=${value?.[name] ?? ""} onChange=${(event) => set(pretty({ ...value, [name]: event.target.value }))}><option value="">–</option>${names[name].map((one) => html`<option>${one}</option>`)}</select></label>`)}
      <${Do} change=${isChange} primary disabled=${!!issue} title="Ctrl Enter" onClick=${run}>Run<//></div>
    ${fields.length > 0 && html`<div class="chips" aria-label="Fields">${fields.map((name) => html`<button type="button" class="plain mono" key=${name} disabled=${!value || name in value} onClick=${() => set(pretty({ ...value, [name]: SAMPLES[name] ?? "" }))}>+ ${name}</button>`)}</div>`}
    <${Editor} label="Request" rows=${Math.min(14, Math.max(4, source.split("\n").length))} value=${source} onInput=${set} issues=${issue ? [issue] : marked} onRun=${run} />
    ${offer && html`<ul class="offer" role="listbox" aria-label="Completions">${offer.found.length ? offer.found.map((word, i) => html`<li key=${word} role="option" aria-selected=${i == offer.at ? "true" : "false"} class="mono" onClick=${() => accept(word)}>${word}</li>`) : html`<li role="option" aria-selected="false" class="muted">nothing to complete</li>`}</ul>`}
    <p class="bar"><span class="muted small">Ctrl Space completes. An array, or several lines, run as one <code>store.transaction</code></span><span class="grow"></span><span class="muted small">${acting ? `as ${acting.userId}` : html`<a href="#/people">act as somebody else</a>`}</span><span class="muted">Copy as</span>${Object.entries(COPIES).map(([name, make]) => { const isOff = name == "curl" && !config.rpc; return html`<button type="button" key=${name} disabled=${!!issue || isOff} title=${isOff ? "the HTTP door is off: http" : undefined} onClick=${() => { const [type, sent] = request(); copy(make(type, masked(sent))); }}>${name}</button>`; })}</p>
    ${stream && html`<section class="panel"><p class="bar"><${State} kind=${stream.ended ? "off" : "good"}>${stream.type}<//><span class="muted">${count(stream.n)} pushes${stream.ended ? `, ${stream.ended}` : ""}</span><span class="grow"></span><button type="button" onClick=${() => { stream.stop(); setStream(null); }}>Stop</button></p>${stream.pushes.length > 0 && html`<${Json} value=${stream.pushes.slice(0, 20)} />`}</section>`}
    ${latest && html`<section class="panel" aria-live="polite"><p class="bar">${latest.error ? html`<${State} kind="bad">${latest.error.code}<//>` : html`<${State} kind="good">${Array.isArray(latest.data) ? `${count(latest.data.length)} rows` : "answer"}<//>`}<span class="muted">${latest.type} · ${latest.ms.toFixed(1)} ms${latest.data !== undefined ? ` · ${bytes(JSON.stringify(latest.data)?.length ?? 0)}` : ""}</span><span class="grow"></span>${latest.data !== undefined && Object.entries({ text: "As JSON", tree: "As a tree", table: "As a table" }).map(([id, what]) => id != form && (id != "table" || rows) && html`<button type="button" key=${id} onClick=${() => setForm(id)}>${what}</button>`)}</p>
      ${latest.error ? html`<${Trouble} error=${latest.error} />${latest.error.details !== undefined && html`<${Json} value=${latest.error.details} />`}` : rows?.length && form == "table" && typeof rows[0] == "object" ? html`<${Table} label="Answer" rows=${rows.slice(0, 200).map((row, i) => ({ i, row }))} keyOf=${(one) => one.i} columns=${[...new Set(rows.slice(0, 50).flatMap((row) => Object.keys(row ?? {})))].map((name) => [name, (one) => text(one.row?.[name]), { mono: true }])} />` : form == "tree" ? html`<ul class="tree"><${Tree} key=${latest.n} value=${latest.data} isOpen /></ul>` : html`<${Json} value=${latest.data} />`}</section>`}
    ${history.length > 0 && html`<details><summary>History ${history.length}</summary><ul>${history.slice(0, 20).map((one, i) => html`<li key=${i}><button type="button" class="plain mono" onClick=${() => { pick(one.operation); set(one.source); }}>${one.operation} ${one.source.replace(/\s+/g, " ").slice(0, 80)}</button></li>`)}</ul></details>`}</div>`;
}
