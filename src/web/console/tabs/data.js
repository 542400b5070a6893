// Data: the records of a bucket, live, and a form that never overwrites what
// somebody else changed meanwhile (console.md section 4).
import {
  Ago, Code, Confirm, Do, Drawer, Editor, Empty, Json, State, Table, Tabs, Trouble, act, app, ask, bytes, change, copy, count, dbNow, download, fail, go, html, may, note, parse, plural, pretty, text, useApp, useEffect, useLive, useMemo, usePoll, useRef, useState,
} from "../ui.js";
import Schema from "./schema.js";
import Transfer from "./transfer.js";

const LIVE_ROWS = 100000;
const PIECE = 200;
/** Browsers draw nothing beyond some 16 million pixels. */
const TALLEST = 8e6;
const META = /^_(version|createdAt|updatedAt|expiresAt)$/;
const isTime = (name) => /^_(createdAt|updatedAt|expiresAt)$/.test(name);
/** As whoever this page is now. */
const asks = (type, fields, o) => ask(type, fields, { ...o, acting: true });
const equal = (a, b) => JSON.stringify(a) === JSON.stringify(b);

// The list of buckets

function Buckets() {
  const { data, error } = usePoll(async () => {
    const { names } = await asks("store.buckets");
    const records = await asks("store.stats").then((answer) => answer.records?.perBucket ?? {}, () => ({}));
    return names.map((name) => ({ name, records: records[name] }));
  }, 5000);
  const [isNew, setNew] = useState(false);
  if (!data) return html`<div class="tab"><h1>Data</h1><${Trouble} error=${error} /></div>`;
  return html`<div class="tab"><header><h1>Data</h1><span class="grow"></span>${may("admin") && html`<${Do} change onClick=${() => setNew(true)}>Define a bucket<//>`}</header>
    <div class="split"><div class="main">${data.length ? html`<${Table} label="Buckets" rows=${data} keyOf=${(row) => row.name} onOpen=${(row) => go(["data", row.name])}
      columns=${[["bucket", (row) => html`<a href=${`#/data/${encodeURIComponent(row.name)}`}>${row.name}</a>`], ["records", (row) => count(row.records), { right: true }]]} />`
      : html`<${Empty} action=${html`<a href="#/now">Create a sample</a>`} snippet=${`{"type":"store.defineBucket","name":"parts","config":{"key":"sku","schema":{"sku":{"type":"string"}}}}`}>No bucket yet.<//>`}</div>
    ${isNew && html`<${Define} onClose=${() => setNew(false)} />`}</div></div>`;
}

function Define({ onClose }) {
  const [name, setName] = useState("");
  const [source, set] = useState(pretty({ key: "id", schema: { id: { type: "string", generated: "uuid" }, name: { type: "string" } }, indexes: [] }));
  const { value, issue } = parse(source);
  const save = async () => {
    if (issue || !name) return;
    if (await act("store.defineBucket", { name, config: value }, `Bucket ${name} is defined`)) onClose(), go(["data", name]);
  };
  return html`<${Drawer} title="Define a bucket" onClose=${onClose}><label>Name<input value=${name} onInput=${(event) => setName(event.target.value)} /></label>
    <${Editor} label="Definition" rows=${14} value=${source} onInput=${set} issues=${issue ? [issue] : []} onRun=${save} />
    <p class="bar"><${Do} change primary disabled=${!!issue || !name} onClick=${save}>Define<//></p><//>`;
}

// Filters

const OPERATORS = { "=": null, "≠": "$neq", "<": "$lt", "≤": "$lte", ">": "$gt", "≥": "$gte", contains: "$contains", "starts with": "$startsWith", exists: "$exists" };
const SIGNS = Object.fromEntries(Object.entries(OPERATORS).map(([sign, op]) => [op, sign]));
/** Conditions of a filter, or null where it says more than a row of chips can. */
export function conditionsOf(filter) {
  const out = [];
  for (const [field, value] of Object.entries(filter)) {
    if (field.startsWith("$")) return null;
    if (value === null || typeof value != "object") out.push([field, "=", value]);
    else {
      if (Array.isArray(value)) return null;
      for (const [op, operand] of Object.entries(value)) {
        if (!(op in SIGNS) && op != "$eq") return null;
        out.push([field, op == "$eq" ? "=" : SIGNS[op], operand]);
      }
    }
  }
  return out;
}
export function filterOf(conditions) {
  const filter = {};
  for (const [field, sign, value] of conditions) {
    if (sign == "=") filter[field] = value;
    else filter[field] = { ...(typeof filter[field] == "object" && filter[field]), [OPERATORS[sign]]: value };
  }
  return filter;
}
/** What somebody typed, as a value of the field's type. */
function valueOf(typed, type) {
  if (type == "number") return Number(typed);
  if (type == "boolean") return typed == "true";
  if (type == "string") return typed;
  try { return JSON.parse(typed); } catch { return typed; }
}

function Filter({ fields, filter, onFilter }) {
  const [isJson, setJson] = useState(false);
  const [source, setSource] = useState("");
  const [adding, setAdding] = useState(null);
  const conditions = conditionsOf(filter);
  const json = isJson || !conditions;
  const shown = json ? source || JSON.stringify(filter) : "";
  const { value, issue } = json ? parse(shown) : {};
  const add = (event) => {
    event.preventDefault();
    const form = new FormData(event.target);
    const [field, sign] = [form.get("field"), form.get("sign")];
    const typed = sign == "exists" ? "true" : form.get("value");
    const type = sign == "exists" ? "boolean" : /with|contains/.test(sign) ? "string" : fields[field]?.type;
    setAdding(null);
    onFilter(filterOf([...conditions, [field, sign, valueOf(typed, type)]]));
  };
  return html`<div class="chips" role="group" aria-label="Filter">
    ${!json && conditions.map(([field, sign, operand], at) => html`<span class="chip" key=${at}>${field} ${sign} ${text(operand)}<button type="button" aria-label=${`Remove ${field}`} onClick=${() => onFilter(filterOf(conditions.filter((_, i) => i != at)))}>✕</button></span>`)}
    ${!json && (adding ? html`<form class="bar" onSubmit=${add} onKeyDown=${(event) => event.key == "Escape" && (event.preventDefault(), setAdding(null))}>
        <select name="field" aria-label="Field" autofocus ref=${(node) => node && !node.dataset.was && ((node.dataset.was = 1), node.focus())}>${Object.keys(fields).map((name) => html`<option>${name}</option>`)}</select>
        <select name="sign" aria-label="Operator">${Object.keys(OPERATORS).map((sign) => html`<option>${sign}</option>`)}</select>
        <input name="value" aria-label="Value" size="12" /><button>Add</button><button type="button" onClick=${() => setAdding(null)}>Cancel</button></form>`
      : html`<button type="button" data-filter aria-label="Add a filter" onClick=${() => setAdding(true)}>+ Filter</button>`)}
    ${json && html`<form class="bar grow" onSubmit=${(event) => { event.preventDefault(); if (!issue) setSource(""), onFilter(value); }}>
      <input data-filter class="mono grow" aria-label="Filter as JSON" value=${shown} aria-invalid=${issue ? "true" : undefined} onInput=${(event) => setSource(event.target.value)} /><button disabled=${!!issue}>Apply</button></form>`}
    <button type="button" class="plain mono" title=${conditions ? "Filter as JSON" : "This filter is shown as JSON only"} disabled=${!conditions} aria-pressed=${json ? "true" : "false"} onClick=${() => { setJson(!isJson); setSource(""); }}>{ }</button>
    ${Object.keys(filter).length > 0 && html`<button type="button" class="plain" onClick=${() => onFilter({})}>Clear filter</button>`}</div>`;
}

// The grid

function Cell({ name, value }) {
  if (isTime(name)) return html`<${Ago} at=${value} />`;
  if (value === undefined) return "";
  if (value === null) return html`<span class="muted">null</span>`;
  if (typeof value == "number") return String(value);
  return text(value);
}

function Grid({ bucket, keyField, columns, types, total, rows, from, onWindow, sort, onSort, selected, onOpen, onDelete }) {
  const box = useRef();
  const [top, setTop] = useState(0);
  const [tall, setTall] = useState(400);
  const [rowHeight, setRowHeight] = useState(28);
  const [at, setAt] = useState([0, 0]);
  const isMoving = useRef(false);
  const before = useRef(new Map());
  useEffect(() => {
    const look = new ResizeObserver(() => {
      if (!box.current) return;
      setTall(box.current.clientHeight);
      const wanted = matchMedia("(max-width: 599px)").matches ? 72 : parseInt(getComputedStyle(document.documentElement).getPropertyValue("--row"), 10) || 28;
      setRowHeight(wanted);
    });
    look.observe(box.current);
    return () => look.disconnect();
  }, []);
  const head = matchMedia("(max-width: 599px)").matches ? 0 : rowHeight;
  const full = total * rowHeight;
  const height = Math.min(full, TALLEST);
  const room = Math.max(1, height - tall + head);
  const first = full > TALLEST ? Math.floor((Math.min(top, room) / room) * Math.max(0, total - Math.floor((tall - head) / rowHeight))) : Math.floor(top / rowHeight);
  const visible = Math.ceil(tall / rowHeight) + 1;
  useEffect(() => onWindow(first, visible), [first, visible, total]);
  useEffect(() => {
    if (!isMoving.current) return;
    // Not drawn yet: after the scrolling.
    const cell = box.current.querySelector(`[data-row="${at[0]}"] [data-col="${at[1]}"]`);
    if (cell) isMoving.current = false, cell.focus({ preventScroll: true });
  });
  const seen = new Map();
  const drawn = [];
  for (let i = Math.max(0, first - 3); i < Math.min(total, first + visible + 3); i++) drawn.push([i, rows[i - from]]);
  for (const row of rows) seen.set(row[keyField], row);
  const changed = (row) => before.current.get(row[keyField]);
  useEffect(() => { before.current = seen; }, [rows]);
  const scrollTo = (row) => {
    const y = full > TALLEST ? (row / Math.max(1, total - 1)) * room : row * rowHeight;
    if (row <= first || row >= first + visible - 3) box.current.scrollTop = row <= first ? y : y - tall + head + rowHeight * 2;
  };
  const key = (event) => {
    const page = Math.max(1, visible - 3);
    let [row, col] = at;
    if (event.key == "ArrowDown") row++;
    else if (event.key == "ArrowUp") row--;
    else if (event.key == "ArrowRight") col++;
    else if (event.key == "ArrowLeft") col--;
    else if (event.key == "PageDown") row += page;
    else if (event.key == "PageUp") row -= page;
    else if (event.key == "Home") [row, col] = event.ctrlKey ? [0, 0] : [row, 0];
    else if (event.key == "End") [row, col] = event.ctrlKey ? [total - 1, columns.length - 1] : [row, columns.length - 1];
    else if (event.key == "Enter" || event.key == "F2") { const one = rows[row - from]; if (one) onOpen(one, columns[col]); return event.preventDefault(); }
    else if (event.key == "Delete") { const one = rows[row - from]; if (one) onDelete(one); return; }
    else if (event.ctrlKey && event.key == "c" && !getSelection().toString()) { const one = rows[row - from]; if (one) copy(text(one[columns[col]])); return; }
    else return;
    event.preventDefault();
    row = Math.max(0, Math.min(total - 1, row));
    col = Math.max(0, Math.min(columns.length - 1, col));
    isMoving.current = true;
    setAt([row, col]);
    scrollTo(row);
  };
  const px = columns.map((name) => (name == keyField ? 160 : isTime(name) ? 112 : types[name]?.type == "number" || name == "_version" ? 92 : types[name]?.type == "boolean" ? 84 : 140));
  const [widths, minWidth] = [px.map((one) => `minmax(${one}px,${one}fr)`).join(" "), `${px.reduce((sum, one) => sum + one, 0)}px`];
  const isNumber = (name) => types[name]?.type == "number" || name == "_version";
  const base = full > TALLEST ? top - (first - Math.floor(first)) * rowHeight : 0;
  return html`<div class="grid" role="grid" aria-label=${`Records of ${bucket}`} aria-rowcount=${total + 1} aria-colcount=${columns.length} ref=${box} onScroll=${(event) => setTop(event.target.scrollTop)} onKeyDown=${key}>
    <div role="row" class="head" aria-rowindex="1" style=${{ gridTemplateColumns: widths, minWidth }}>${columns.map((name) => html`<div role="columnheader" key=${name} class=${isNumber(name) ? "num" : ""} aria-sort=${sort?.[name] ? (sort[name] == "asc" ? "ascending" : "descending") : "none"}>
      <button type="button" tabindex="-1" onClick=${() => onSort(name)}>${name}${sort?.[name] ? (sort[name] == "asc" ? " ↑" : " ↓") : ""}</button></div>`)}</div>
    <div role="rowgroup" style=${{ height: `${height}px`, position: "relative" }}>${drawn.map(([i, row]) => html`<div role="row" key=${i} data-row=${i} aria-rowindex=${i + 2} aria-selected=${row && row[keyField] === selected ? "true" : "false"}
      class=${`body ${row && row[keyField] === selected ? "selected" : ""}`} style=${{ gridTemplateColumns: widths, minWidth, top: `${full > TALLEST ? base + (i - first) * rowHeight : i * rowHeight}px` }} onClick=${() => row && onOpen(row)}>
      ${columns.map((name, col) => { const old = row && changed(row); const isNew = old && !equal(old[name], row[name]) && !isTime(name);
        return html`<div role="gridcell" key=${isNew ? `${name}-${row._version}` : name} data-col=${col} tabindex=${i == at[0] && col == at[1] ? 0 : -1} onFocus=${() => (at[0] != i || at[1] != col) && setAt([i, col])} class=${`mono ${isNumber(name) ? "num" : ""} ${isNew ? "flash" : ""}`}>${row ? html`<${Cell} name=${name} value=${row[name]} />` : html`<span class="muted">…</span>`}</div>`; })}</div>`)}</div></div>`;
}

// The record

function Field({ name, type, value, onInput, isKey }) {
  const id = `field-${name}`;
  const common = { id, disabled: isKey, "aria-label": name };
  if (type?.enum) return html`<select ...${common} value=${JSON.stringify(value)} onChange=${(event) => onInput(event.target.value === "" ? null : JSON.parse(event.target.value))}>${value == null && html`<option value="">–</option>`}${type.enum.map((one) => html`<option value=${JSON.stringify(one)}>${text(one)}</option>`)}</select>`;
  if (type?.type == "boolean" || typeof value == "boolean") return html`<input ...${common} type="checkbox" checked=${!!value} onChange=${(event) => onInput(event.target.checked)} />`;
  if (type?.type == "number" || (typeof value == "number" && !type)) return html`<input ...${common} class="mono" inputmode="decimal" value=${value ?? ""} onInput=${(event) => { const typed = event.target.value.trim(); onInput(typed === "" ? null : Number.isNaN(Number(typed)) ? typed : Number(typed)); }} />`;
  if ((type && /object|array/.test(type.type)) || (value && typeof value == "object")) return html`<${JsonField} common=${common} value=${value} onInput=${onInput} />`;
  return html`<input ...${common} class="mono" value=${value ?? ""} onInput=${(event) => onInput(event.target.value)} />`;
}
function JsonField({ common, value, onInput }) {
  const [source, set] = useState(() => pretty(value ?? null));
  const { issue } = parse(source);
  return html`<textarea ...${common} rows="4" value=${source} aria-invalid=${issue ? "true" : undefined} onInput=${(event) => { set(event.target.value); const found = parse(event.target.value); if (!found.issue) onInput(found.value); }}></textarea>`;
}

/** Per field: who changed it since the form was opened. */
export function merge(base, theirs, mine) {
  const names = [...new Set([...Object.keys(base), ...Object.keys(theirs), ...Object.keys(mine)])].filter((name) => !META.test(name));
  return names.flatMap((name) => {
    const [isTheirs, isMine] = [!equal(base[name], theirs[name]), name in mine && !equal(base[name], mine[name])];
    if (!isTheirs && !isMine) return [];
    return [{ name, base: base[name], theirs: theirs[name], mine: mine[name], take: isTheirs && !isMine ? "theirs" : "mine", isBoth: isTheirs && isMine && !equal(theirs[name], mine[name]) }];
  });
}

function Review({ rows, onTake }) {
  return html`<div role="group" aria-label="Review"><p><b>Somebody changed this record meanwhile.</b> What only one of you changed is kept; choose the rest.</p>
    <table class="merge"><thead><tr><th>field</th><th>base</th><th>theirs</th><th>mine</th></tr></thead><tbody>${rows.map((row) => html`<tr key=${row.name}><td>${row.name}</td><td class="mono muted">${text(row.base)}</td>
      ${["theirs", "mine"].map((side) => html`<td class="mono"><label><input type="radio" name=${`take-${row.name}`} checked=${row.take == side} disabled=${!row.isBoth} onChange=${() => onTake(row.name, side)} />${text(side == "mine" && !(("mine" in row) && row.mine !== undefined) ? row.base : row[side])}</label></td>`)}</tr>`)}</tbody></table></div>`;
}

function Record({ bucket, keyField, schema, record, onClose, onDelete }) {
  const [base, setBase] = useState(record);
  const [mine, setMine] = useState({});
  const [review, setReview] = useState(null);
  const [issues, setIssues] = useState([]);
  const key = base[keyField];
  const { data } = useLive(() => dbNow().bucket(bucket).live({ filter: { [keyField]: key }, limit: 1 }), [bucket, key]);
  const theirs = Array.isArray(data) ? data[0] : undefined;
  const isGone = Array.isArray(data) && !data.length;
  useEffect(() => { if (theirs && !Object.keys(mine).length && !review) setBase(theirs); }, [theirs]);
  const isDirty = Object.keys(mine).length > 0;
  const names = [...new Set([...Object.keys(schema ?? {}), ...Object.keys(base)])].filter((name) => !META.test(name));
  const set = (name, value) => setMine((old) => { const next = { ...old, [name]: value }; if (equal(value, base[name])) delete next[name]; return next; });
  const save = async () => {
    const against = review?.record ?? base;
    const data = review ? Object.fromEntries(review.rows.filter((row) => row.take == "mine").map((row) => [row.name, row.mine])) : mine;
    if (!Object.keys(data).length) return setReview(null), setMine({}), setBase(against);
    setIssues([]);
    try {
      const saved = await asks("store.update", { bucket, key, data, expect: { _version: against._version } });
      setBase(saved);
      setMine({});
      setReview(null);
      note("good", "Saved");
    } catch (error) {
      if (error.code == "CONFLICT" && error.details?.record) {
        const [now, wanted] = [error.details.record, data];
        return setReview({ record: now, rows: merge(review?.record ?? base, now, wanted) });
      }
      setIssues(error.issues?.filter((one) => one.field) ?? []);
      fail(error, "store.update", { bucket });
    }
  };
  return html`<${Drawer} title=${text(key)} onClose=${onClose}>
    <div onKeyDown=${(event) => { if (event.key == "Enter" && (event.ctrlKey || event.metaKey)) event.preventDefault(), save(); }}>
    ${isGone && html`<p class="trouble" role="status">This record is gone.</p>`}
    ${review ? html`<${Review} rows=${review.rows} onTake=${(name, take) => setReview({ ...review, rows: review.rows.map((row) => (row.name == name ? { ...row, take } : row)) })} />`
      : html`<div class="fields">${names.map((name) => { const [type, value] = [schema?.[name], name in mine ? mine[name] : base[name]]; const other = theirs && !equal(theirs[name], base[name]);
        return html`<label key=${name} for=${`field-${name}`}><span class="muted">${name}${type?.ref ? html` <a href=${`#/data/${encodeURIComponent(type.ref)}?key=${encodeURIComponent(JSON.stringify(value))}`} title="Follow the reference">→ ${type.ref}</a>` : ""}</span><${Field} name=${name} type=${type} value=${value} isKey=${name == keyField || !may("write")} onInput=${(next) => set(name, next)} />
          ${other && html`<span class="theirs">▲ theirs: ${text(theirs[name])}</span>`}${issues.filter((one) => one.field == name).map((one) => html`<span class="issue">${one.message}</span>`)}</label>`; })}</div>`}</div>
    <p class="muted small">version ${base._version} · changed <${Ago} at=${base._updatedAt} /> · made <${Ago} at=${base._createdAt} /></p>
    ${may("write") && html`<p class="bar"><${Do} change primary disabled=${!isDirty && !review} onClick=${save}>Save<//>${(isDirty || review) && html`<button type="button" onClick=${() => { setMine({}); setReview(null); setBase(theirs ?? base); }}>Discard</button>`}
      <span class="grow"></span><button type="button" onClick=${() => copy(pretty(base))}>Copy JSON</button><${Do} change danger onClick=${() => onDelete(theirs ?? base)}>Delete<//></p>`}<//>`;
}

function New({ bucket, keyField, schema, onClose }) {
  const fresh = Object.fromEntries(Object.entries(schema ?? {}).filter(([, type]) => type.default !== undefined && typeof type.default != "object").map(([name, type]) => [name, type.default]));
  const [value, set] = useState(fresh);
  const [isJson, setJson] = useState(!schema);
  const [source, setSource] = useState(pretty(fresh));
  const [issues, setIssues] = useState([]);
  const { value: typed, issue } = isJson ? parse(source) : { value };
  const save = async () => {
    if (issue) return;
    setIssues([]);
    try {
      const made = await asks("store.insertMany", { bucket, data: [typed] });
      note("good", `Record ${text(made[0]?.[keyField])} is there`);
      onClose();
    } catch (error) {
      setIssues(error.issues?.filter((one) => one.field) ?? []);
      fail(error, "store.insert", { bucket });
    }
  };
  const names = Object.entries(schema ?? {}).filter(([, type]) => !type.generated);
  return html`<${Drawer} title="New record" onClose=${onClose}><div onKeyDown=${(event) => { if (event.key == "Enter" && (event.ctrlKey || event.metaKey)) event.preventDefault(), save(); }}>
    ${isJson ? html`<${Editor} label="Record as JSON" value=${source} onInput=${setSource} issues=${issue ? [issue] : issues.map((one) => `${one.field}: ${one.message}`)} />`
      : html`<div class="fields">${names.map(([name, type]) => html`<label key=${name} for=${`field-${name}`}><span class="muted">${name}${type.required ? " *" : ""}</span><${Field} name=${name} type=${type} value=${value[name]} onInput=${(next) => set((old) => ({ ...old, [name]: next }))} />${issues.filter((one) => one.field == name).map((one) => html`<span class="issue">${one.message}</span>`)}</label>`)}</div>`}</div>
    <p class="bar"><${Do} change primary disabled=${!!issue} onClick=${save}>Insert<//>${schema && html`<button type="button" onClick=${() => { setJson(!isJson); setSource(pretty(value)); }}>${isJson ? "As a form" : "As JSON"}</button>`}</p><//>`;
}

// The bucket

function Plan({ bucket, filter }) {
  const { data } = usePoll(() => asks("store.explain", { bucket, filter }), 5000, [bucket, JSON.stringify(filter)]);
  if (!data) return null;
  const way = data.access == "scan" || data.access == "all" || !data.index ? "by looking at all" : `by index ${Array.isArray(data.index) ? data.index.join(", ") : data.index}`;
  const isScan = !data.index && data.lookedAt > 10000 && Object.keys(filter).length > 0;
  return html`<span class="small">${data.rowFilter && html`<${State} kind="warn">filtered by row rules<//> `}${isScan ? html`<${State} kind="warn">${way}, ${plural(data.lookedAt, "record")}<//>` : html`<span class="muted">${Object.keys(filter).length ? way : "all records"}${data.lookedAt != null && Object.keys(filter).length ? `, ${count(data.lookedAt)} looked at` : ""}</span>`}</span>`;
}

function useRows(bucket, filter, sort, isLive, from, total) {
  const config = { ...(Object.keys(filter).length && { filter }), ...(sort && { sort }), limit: PIECE, offset: from };
  const deps = [bucket, JSON.stringify(filter), JSON.stringify(sort), from, isLive];
  const live = useLive(isLive && bucket ? () => dbNow().bucket(bucket).live(config) : null, deps);
  const paged = usePoll(async () => (isLive === false ? asks("store.find", { bucket, ...config }) : null), 1e9, deps);
  const kept = useRef({ rows: [], from: 0, name: "" });
  const name = JSON.stringify([bucket, filter, sort]);
  const wanted = isLive ? live.data : paged.data;
  const tag = JSON.stringify(deps);
  const was = useRef("");
  if (kept.current.name != name) kept.current = { rows: [], from: 0, name };
  if (Array.isArray(wanted) && (was.current == tag || wanted !== kept.current.rows)) kept.current = { rows: wanted, from: was.current == tag ? from : kept.current.from, name };
  useEffect(() => { was.current = tag; }, [tag, live.data, paged.data]);
  return { ...kept.current, status: isLive ? live.status : "paged", error: isLive ? live.error : paged.error };
}

function Bucket({ bucket }) {
  const { query, locked } = useApp();
  const filter = useMemo(() => { try { return JSON.parse(query.get("filter") || "{}"); } catch { return {}; } }, [query.get("filter")]);
  const sort = useMemo(() => { try { return JSON.parse(query.get("sort") || "null"); } catch { return null; } }, [query.get("sort")]);
  const [from, setFrom] = useState(0);
  const [wantsLive, setWants] = useState(null);
  const [shown, show] = useState(null);
  const [hidden, setHidden] = useState(new Set(["_createdAt"]));
  const [picking, setPicking] = useState(false);
  const schema = usePoll(() => (may("admin") ? asks("store.getBucketSchema", { name: bucket }) : Promise.resolve(null)), 30000, [bucket]);
  const first = usePoll(() => asks("store.count", Object.keys(filter).length ? { bucket, filter } : { bucket }), 1e9, [bucket, JSON.stringify(filter)]);
  const isSmall = first.data == null ? null : first.data <= LIVE_ROWS;
  const isLive = wantsLive ?? isSmall;
  const counted = useLive(isLive ? () => dbNow().bucket(bucket).live({ ...(Object.keys(filter).length && { filter }), aggregate: { function: "count" } }) : null, [bucket, JSON.stringify(filter), isLive]);
  const total = (isLive && typeof counted.data == "number" ? counted.data : first.data) ?? 0;
  const { rows, from: start, status, error } = useRows(bucket, filter, sort, isLive, from, total);
  const fields = schema.data?.config?.schema;
  const known = useRef({});
  if (known.current.bucket != bucket) known.current = { bucket, types: {} };
  for (const row of rows.slice(0, 50)) for (const [name, value] of Object.entries(row)) known.current.types[name] ??= { type: META.test(name) || value === null ? undefined : Array.isArray(value) ? "array" : typeof value };
  const types = fields ?? known.current.types;
  const keyField = schema.data?.config?.key ?? (rows[0] && Object.keys(rows[0])[0]) ?? "id";
  const all = [...new Set([keyField, ...Object.keys(fields ?? {}), ...Object.keys(known.current.types).filter((name) => !META.test(name)), "_version", "_updatedAt", "_createdAt"])];
  const columns = all.filter((name) => !hidden.has(name));
  const move = (part) => go(["data", bucket], { filter: Object.keys(part.filter ?? filter).length ? JSON.stringify(part.filter ?? filter) : "", sort: "sort" in part ? part.sort && JSON.stringify(part.sort) : sort && JSON.stringify(sort) });
  const order = (name) => move({ sort: sort?.[name] == "asc" ? { [name]: "desc" } : sort?.[name] == "desc" ? null : { [name]: "asc" } });
  const onWindow = (at, visible) => {
    if (at >= from && at + visible <= from + PIECE) return;
    setFrom(Math.max(0, Math.floor((at - (PIECE - visible) / 2) / 50) * 50));
  };
  const remove = async (record) => {
    try {
      await asks("store.delete", { bucket, key: record[keyField], expect: { _version: record._version } });
      show(null);
      const { _version, _createdAt, _updatedAt, ...data } = record;
      note("good", `Record ${text(record[keyField])} is deleted`, { ms: 10000, undo: () => act("store.insertMany", { bucket, data: [data] }, "It is back, as version 1") });
    } catch (why) {
      fail(why, "store.delete", { bucket });
    }
  };
  useEffect(() => {
    const key = (event) => { if (event.key == "n" && !event.target.closest("input,textarea,select,dialog") && !event.ctrlKey && !event.metaKey && may("write") && !app.locked) event.preventDefault(), show({ isNew: true }); };
    addEventListener("keydown", key);
    return () => removeEventListener("keydown", key);
  }, []);
  useEffect(() => {
    if (query.get("key")) asks("store.get", { bucket, key: JSON.parse(query.get("key")) }).then((record) => record && show({ record }), (why) => fail(why, "store.get", { bucket }));
  }, [query.get("key")]);
  const broken = first.error ?? (error && !rows.length ? error : null);
  return html`<div class="tab"><header><h1><a href="#/data">Data</a> <span class="muted">/</span> ${bucket}</h1><span class="muted">${plural(total, "row")}</span>
      ${isLive ? html`<${State} kind=${status == "live" ? "good" : "warn"}>${status == "live" ? "live" : status}<//>` : isLive === false && html`<${State} kind="off">pages<//><button type="button" title="Costs the server memory for the order" onClick=${() => setWants(true)}>Go live</button>`}
      <span class="grow"></span><${Plan} bucket=${bucket} filter=${filter} /></header>
    <div class="bar"><${Filter} fields=${{ ...types, _version: { type: "number" }, _updatedAt: { type: "number" } }} filter=${filter} onFilter=${(next) => move({ filter: next })} /><span class="grow"></span>
      ${may("write") && html`<${Do} change primary onClick=${() => show({ isNew: true })}>New<//>`}
      ${may("write") && html`<button type="button" onClick=${() => show({ isImport: true })}>Import</button>`}<button type="button" onClick=${() => show({ isExport: true })}>Export</button>
      ${may("admin") && html`<button type="button" onClick=${() => show({ isSchema: true })}>Schema</button>`}
      <details class="menu"><summary>Columns</summary><div>${all.filter((name) => name != keyField).map((name) => html`<label class="check" key=${name}><input type="checkbox" checked=${!hidden.has(name)} onChange=${() => setHidden((old) => { const next = new Set(old); next.has(name) ? next.delete(name) : next.add(name); return next; })} />${name}</label>`)}</div></details></div>
    <${Trouble} error=${broken} />
    <div class="split"><div class="main">${!broken && (total == 0 && first.data != null ? html`<${Empty} action=${Object.keys(filter).length ? html`<button type="button" onClick=${() => move({ filter: {} })}>Clear filter</button>` : null} snippet=${Object.keys(filter).length ? null : `await db.bucket(${JSON.stringify(bucket)}).insert({ … });`}>${Object.keys(filter).length ? "No record matches." : "No record yet."}<//>`
      : html`<${Grid} bucket=${bucket} keyField=${keyField} columns=${columns} types=${types} total=${total} rows=${rows} from=${start} onWindow=${onWindow} sort=${sort} onSort=${order} selected=${shown?.record?.[keyField]} onOpen=${(record) => show({ record })} onDelete=${(record) => !locked && may("write") && remove(record)} />`)}</div>
    ${shown?.record && html`<${Record} key=${text(shown.record[keyField])} bucket=${bucket} keyField=${keyField} schema=${fields} record=${shown.record} onClose=${() => show(null)} onDelete=${remove} />`}
    ${shown?.isNew && html`<${New} bucket=${bucket} keyField=${keyField} schema=${fields} onClose=${() => show(null)} />`}
    ${shown?.isSchema && html`<${Schema} bucket=${bucket} config=${schema.data?.config} again=${schema.again} onClose=${() => show(null)} />`}
    ${(shown?.isImport || shown?.isExport) && html`<${Transfer} bucket=${bucket} keyField=${keyField} schema=${fields} filter=${filter} sort=${sort} total=${total} isImport=${!!shown.isImport} onClose=${() => show(null)} />`}</div></div>`;
}

export default function Data() {
  const { route } = useApp();
  return route[1] ? html`<${Bucket} key=${route[1]} bucket=${route[1]} />` : html`<${Buckets} />`;
}
