// Data: the records of a bucket, live, and a form that never overwrites what
// somebody else changed meanwhile (console.md section 4).
import {
  Ago, ByName, Confirm, Do, Drawer, Editor, Empty, State, Table, Trouble, act, app, asks, copy, count, dbNow, fail, go, html, isTyping, note, parse, plural, pretty, takes, text, useApp, useEffect, useKeys, useLive, useMemo, usePoll, useRef, useState,
} from "../ui.js";
import Field from "./field.js";
import Schema from "./schema.js";
import Transfer from "./transfer.js";

const LIVE_ROWS = 100000;
const PIECE = 200;
/** Where it is narrow, a row is a card of two lines. */
const CARD = 56;
/** Browsers draw nothing beyond some 16 million pixels. */
const TALLEST = 8e6;
const META = /^_(version|createdAt|updatedAt|expiresAt)$/;
const isTime = (name) => /^_(createdAt|updatedAt|expiresAt)$/.test(name);
/** Column widths, by bucket. */
function widthsOf(bucket, next) {
  try {
    const all = JSON.parse(localStorage.getItem("noexd-console:widths") ?? "{}");
    if (next) localStorage.setItem("noexd-console:widths", JSON.stringify({ ...all, [bucket]: next }));
    return all[bucket] ?? {};
  } catch { return {}; }
}
const ACTING = { acting: true };
const equal = (a, b) => JSON.stringify(a) === JSON.stringify(b);

// The list of buckets

function Buckets() {
  const { data, error } = usePoll(async () => {
    const { names } = await asks("store.buckets");
    const records = await asks("store.stats").then((answer) => answer.records?.perBucket ?? {}, () => ({}));
    return names.map((name) => ({ name, records: records[name] }));
  }, 5000);
  const [isNew, setNew] = useState(false);
  if (!data) return html`<div class="tab"><h1>Data</h1><${Trouble} error=${error} />${error && html`<${ByName} path=${["data"]} what="a bucket" />`}</div>`;
  return html`<div class="tab"><header><h1>Data</h1><span class="grow"></span><${Do} change onClick=${() => setNew(true)}>Define a bucket<//></header>
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
    if (await act("store.defineBucket", { name, config: value }, `Bucket ${name} is defined`, ACTING)) onClose(), go(["data", name]);
  };
  return html`<${Drawer} title="Define a bucket" onClose=${onClose}><label>Name<input value=${name} onInput=${(event) => setName(event.target.value)} /></label>
    <${Editor} label="Definition" rows=${14} value=${source} onInput=${set} issues=${issue ? [issue] : []} onRun=${save} />
    <p class="bar"><${Do} change primary disabled=${!!issue || !name} onClick=${save}>Define<//></p><//>`;
}

// Filters

const OPERATORS = { "=": null, "≠": "$neq", "<": "$lt", "≤": "$lte", ">": "$gt", "≥": "$gte", contains: "$contains", "starts with": "$startsWith", exists: "$exists" };
const SIGNS = Object.fromEntries(Object.entries(OPERATORS).map(([sign, op]) => [op, sign]));
/** Conditions of a filter, or null where it says more than a row of chips can: all of them hold, or any (`$or`). */
export function conditionsOf(filter) {
  if (Array.isArray(filter.$or) && Object.keys(filter).length == 1) {
    const each = filter.$or.map((one) => (one && typeof one == "object" ? conditionsOf(one) : null));
    return each.length && each.every((one) => one?.length == 1 && !one.isAny) ? Object.assign(each.flat(), { isAny: true }) : null;
  }
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
const one = ([field, sign, value]) => ({ [field]: sign == "=" ? value : { [OPERATORS[sign]]: value } });
export function filterOf(conditions, isAny = conditions.isAny) {
  if (isAny && conditions.length > 1) return { $or: conditions.map(one) };
  const filter = {};
  for (const [field, sign, value] of conditions) {
    const old = filter[field];
    const kept = old === undefined ? {} : old && typeof old == "object" ? old : { $eq: old };
    filter[field] = old === undefined && sign == "=" ? value : { ...kept, [OPERATORS[sign] ?? "$eq"]: value };
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
  const [isAny, setAny] = useState(false);
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
    onFilter(filterOf([...conditions, [field, sign, valueOf(typed, type)]], any));
  };
  const any = conditions?.length > 1 ? !!conditions.isAny : isAny;
  const wants = (form) => setAdding({ field: form.elements.field.value, sign: form.elements.sign.value });
  const type = fields[adding?.field ?? Object.keys(fields)[0]];
  const options = adding?.sign == "exists" ? null : type?.enum ?? (type?.type == "boolean" ? [true, false] : null);
  return html`<div class="chips" role="group" aria-label="Filter">
    ${!json && conditions.map(([field, sign, operand], at) => html`<span class="chip" key=${at}>${field} ${sign} ${text(operand)}<button type="button" aria-label=${`Remove ${field}`} onClick=${() => onFilter(filterOf(conditions.filter((_, i) => i != at), any))}>✕</button></span>`)}
    ${!json && (conditions.length > 1 || (adding && conditions.length > 0)) && html`<select aria-label="All or any" value=${any ? "any" : "all"} onChange=${(event) => { setAny(event.target.value == "any"); if (conditions.length > 1) onFilter(filterOf(conditions, event.target.value == "any")); }}><option value="all">all hold</option><option value="any">any holds</option></select>`}
    ${!json && (adding ? html`<form class="bar" onSubmit=${add} onChange=${(event) => event.target.name != "value" && wants(event.currentTarget)} onKeyDown=${(event) => event.key == "Escape" && (event.preventDefault(), setAdding(null))}>
        <select name="field" aria-label="Field" autofocus ref=${(node) => node && !node.dataset.was && ((node.dataset.was = 1), node.focus())}>${Object.keys(fields).map((name) => html`<option>${name}</option>`)}</select>
        <select name="sign" aria-label="Operator">${Object.keys(OPERATORS).map((sign) => html`<option>${sign}</option>`)}</select>
        ${options ? html`<select name="value" aria-label="Value">${options.map((one) => html`<option>${text(one)}</option>`)}</select>` : adding.sign != "exists" && html`<input name="value" aria-label="Value" size="12" inputmode=${type?.type == "number" ? "decimal" : undefined} />`}<button>Add</button><button type="button" onClick=${() => setAdding(null)}>Cancel</button></form>`
      : html`<button type="button" data-filter aria-label="Add a filter" onClick=${() => setAdding({})}>+ Filter</button>`)}
    ${json && html`<form class="bar grow" onSubmit=${(event) => { event.preventDefault(); if (!issue) setSource(""), onFilter(value); }}>
      <input data-filter class="mono grow" aria-label="Filter as JSON" value=${shown} aria-invalid=${issue ? "true" : undefined} onInput=${(event) => setSource(event.target.value)} /><button disabled=${!!issue}>Apply</button></form>`}
    <button type="button" class="plain mono" title=${conditions ? "Filter as JSON" : "This filter is shown as JSON only"} disabled=${!conditions} aria-pressed=${json ? "true" : "false"} onClick=${() => { setJson(!isJson); setSource(""); }}>{ }</button>
    ${Object.keys(filter).length > 0 && html`<button type="button" class="plain" onClick=${() => onFilter({})}>Clear filter</button>`}</div>`;
}

/** Where a reference leads. */
const follow = (type, value) => (type?.ref && value != null ? go(["data", type.ref], { key: JSON.stringify(value) }) : note("good", "No reference in this column"));
const range = (anchor, to) => ({ anchor, from: Math.min(anchor, to), to: Math.max(anchor, to) });

// The grid

function Cell({ name, value }) {
  if (isTime(name)) return html`<${Ago} at=${value} />`;
  if (value === undefined) return "";
  if (value === null) return html`<span class="muted">null</span>`;
  if (typeof value == "number") return String(value);
  return text(value);
}

function Grid({ bucket, keyField, columns, types, total, rows, from, widths: chosen, onWidth, onWindow, sort, onSort, selected, picked, onPick, onOpen, onDelete }) {
  const box = useRef();
  const [top, setTop] = useState(0);
  const [tall, setTall] = useState(400);
  const [rowHeight, setRowHeight] = useState(28);
  const [at, setAt] = useState([0, 0]);
  const isMoving = useRef(false);
  const before = useRef(new Map());
  const { density } = useApp();
  useEffect(() => {
    const measure = () => {
      if (!box.current) return;
      setTall(box.current.clientHeight);
      const wanted = matchMedia("(max-width: 599px)").matches ? CARD : parseInt(getComputedStyle(document.documentElement).getPropertyValue("--row"), 10) || 28;
      setRowHeight(wanted);
    };
    const look = new ResizeObserver(measure);
    look.observe(box.current);
    measure();
    return () => look.disconnect();
  }, [density]);
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
  const lately = useRef([]);
  useEffect(() => {
    // More than thirty a second would be a flicker: then only their rows are marked.
    const now = Date.now();
    const n = rows.filter((row) => { const old = changed(row); return old && old._version != row._version; }).length;
    lately.current = [...lately.current, ...Array(n).fill(now)].filter((at) => at > now - 1000).slice(-40);
    before.current = seen;
  }, [rows]);
  const isBusy = lately.current.length > 30;
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
    else {
      const one = rows[row - from];
      if (!one) return;
      if (event.key == "Enter" || event.key == "F2") onOpen(one, event.key == "F2" && columns[col]);
      else if (event.key == "Delete") onDelete(one);
      else if (event.key == "o" && !isTyping(event)) follow(types[columns[col]], one[columns[col]]);
      else if ((event.ctrlKey || event.metaKey) && event.key == "c" && !getSelection().toString()) copy(picked ? rows.slice(Math.max(0, picked.from - from), picked.to + 1 - from).map((each) => columns.map((name) => text(each[name])).join("\t")).join("\n") : text(one[columns[col]]));
      else return;
      return event.preventDefault();
    }
    event.preventDefault();
    row = Math.max(0, Math.min(total - 1, row));
    col = Math.max(0, Math.min(columns.length - 1, col));
    onPick(event.shiftKey ? range(picked?.anchor ?? at[0], row) : null);
    isMoving.current = true;
    setAt([row, col]);
    scrollTo(row);
  };
  const px = columns.map((name) => chosen[name] ?? (name == keyField ? 160 : isTime(name) ? 112 : types[name]?.type == "number" || name == "_version" ? 92 : types[name]?.type == "boolean" ? 84 : 140));
  const [widths, minWidth] = [px.map((one, i) => (chosen[columns[i]] ? `${one}px` : `minmax(${one}px,${one}fr)`)).join(" "), `${px.reduce((sum, one) => sum + one, 0)}px`];
  const resize = (event, name) => {
    event.preventDefault();
    const handle = event.currentTarget;
    const [x, was] = [event.clientX, handle.parentNode.offsetWidth];
    handle.setPointerCapture(event.pointerId);
    handle.onpointermove = (next) => onWidth(name, Math.max(48, was + next.clientX - x));
    handle.onpointerup = () => { handle.onpointermove = null; };
  };
  const isPicked = (i) => picked && i >= picked.from && i <= picked.to;
  const isNumber = (name) => types[name]?.type == "number" || name == "_version";
  const base = full > TALLEST ? top - (first - Math.floor(first)) * rowHeight : 0;
  return html`<div class="grid" role="grid" aria-label=${`Records of ${bucket}`} aria-rowcount=${total + 1} aria-colcount=${columns.length} aria-multiselectable="true" ref=${box} onScroll=${(event) => setTop(event.target.scrollTop)} onKeyDown=${key}>
    <div role="row" class="head" aria-rowindex="1" style=${{ gridTemplateColumns: widths, minWidth }}>${columns.map((name) => html`<div role="columnheader" key=${name} class=${isNumber(name) ? "num" : ""} aria-sort=${sort?.[name] ? (sort[name] == "asc" ? "ascending" : "descending") : "none"}>
      <button type="button" tabindex="-1" onClick=${() => onSort(name)}>${name}${sort?.[name] ? (sort[name] == "asc" ? " ↑" : " ↓") : ""}</button><span class="resize" onPointerDown=${(event) => resize(event, name)} onDblClick=${() => onWidth(name, null)}></span></div>`)}</div>
    <div role="rowgroup" style=${{ height: `${height}px`, position: "relative" }}>${drawn.map(([i, row]) => html`<div role="row" key=${i} data-row=${i} aria-rowindex=${i + 2} aria-selected=${(row && row[keyField] === selected) || isPicked(i) ? "true" : "false"}
      class=${`body ${(row && row[keyField] === selected) || isPicked(i) ? "selected" : ""} ${isBusy && row && changed(row) && changed(row)._version != row._version ? "marked" : ""}`} style=${{ gridTemplateColumns: widths, minWidth, top: `${full > TALLEST ? base + (i - first) * rowHeight : i * rowHeight}px` }} onMouseDown=${(event) => event.shiftKey && event.preventDefault()} onClick=${(event) => { if (event.shiftKey) onPick(range(picked?.anchor ?? at[0], i)); else if (row) onPick(null), onOpen(row); }}>
      ${columns.map((name, col) => { const old = row && changed(row); const isNew = old && !equal(old[name], row[name]) && !isTime(name);
        return html`<div role="gridcell" key=${isNew && !isBusy ? `${name}-${row._version}` : name} data-col=${col} data-name=${name} tabindex=${i == at[0] && col == at[1] ? 0 : -1} onFocus=${() => (at[0] != i || at[1] != col) && setAt([i, col])} class=${`mono ${isNumber(name) ? "num" : ""} ${isNew && !isBusy ? "flash" : ""}`}>${row ? html`<${Cell} name=${name} value=${row[name]} />` : html`<span class="muted">…</span>`}</div>`; })}</div>`)}</div></div>`;
}

// The record

/** Per field: who changed it since the form was opened. */
export function merge(base, theirs, mine) {
  const names = [...new Set([...Object.keys(base), ...Object.keys(theirs), ...Object.keys(mine)])].filter((name) => !META.test(name));
  return names.flatMap((name) => {
    const [isTheirs, isMine] = [!equal(base[name], theirs[name]), name in mine && !equal(base[name], mine[name])];
    if (!isTheirs && !isMine) return [];
    return [{ name, base: base[name], theirs: theirs[name], mine: mine[name], take: isTheirs && !isMine ? "theirs" : "mine", isBoth: isTheirs && isMine && !equal(theirs[name], mine[name]) }];
  });
}

function Review({ rows, was, onTake }) {
  return html`<div role="group" aria-label="Review" class="review"><p><b>Somebody changed this record meanwhile.</b> ${was ? "In the last instant: your fields are written over theirs; what you choose of theirs is written once more." : "What only one of you changed is kept; choose the rest."}</p>
    <table class="merge"><thead><tr><th>field</th><th>base</th><th>theirs</th><th>mine</th></tr></thead><tbody>${rows.map((row) => html`<tr key=${row.name}><td>${row.name}</td><td class="mono muted">${text(row.base)}</td>
      ${["theirs", "mine"].map((side) => html`<td class="mono"><label><input type="radio" name=${`take-${row.name}`} checked=${row.take == side} disabled=${!row.isBoth} onChange=${() => onTake(row.name, side)} />${text(side == "mine" && !(("mine" in row) && row.mine !== undefined) ? row.base : row[side])}</label></td>`)}</tr>`)}</tbody></table></div>`;
}

/** Opened after the whole address was shown. */
function Leave({ to }) {
  const [isOpen, open] = useState(false);
  return html`<button type="button" class="plain" aria-label=${`Open ${to}`} onClick=${() => open(true)}>↗</button>${isOpen && html`<${Confirm} title="Leave the console" yes="Open" onClose=${() => open(false)} onYes=${() => window.open(to, "_blank", "noopener,noreferrer")}><p class="mono wrap">${to}</p><//>`}`;
}

function Record({ bucket, keyField, schema, record, field, onClose, onDelete }) {
  useEffect(() => { if (field) document.getElementById(`field-${field}`)?.focus(); }, [field]);
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
  /** Without `expect` the step before says what was overwritten: nothing but the fields sent can have been. */
  const blind = async (data, against) => {
    const { results: [before, after] } = await asks("store.transaction", { operations: [{ op: "get", bucket, key }, { op: "update", bucket, key, data }] });
    const [was, now] = [before.data, after.data];
    if (was._version == against._version) return now;
    setReview({ record: now, was, rows: merge(base, was, data) });
  };
  const save = async () => {
    const against = review?.record ?? base;
    // What a blind save has done stands already: only what is theirs is sent then.
    const side = review?.was ? "theirs" : "mine";
    const data = review ? Object.fromEntries(review.rows.filter((row) => row.take == side && !equal(row[side], against[row.name])).map((row) => [row.name, row[side] ?? null])) : mine;
    if (!Object.keys(data).length) return setReview(null), setMine({}), setBase(against);
    setIssues([]);
    // Known before anything is sent.
    const isKnown = takes("store.update", "expect");
    if (!isKnown && theirs && theirs._version > against._version) return setReview({ record: theirs, rows: merge(base, theirs, data) });
    try {
      const saved = isKnown ? await asks("store.update", { bucket, key, data, expect: { _version: against._version } }) : await blind(data, against);
      if (!saved) return;
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
    ${review ? html`<${Review} rows=${review.rows} was=${review.was} onTake=${(name, take) => setReview({ ...review, rows: review.rows.map((row) => (row.name == name ? { ...row, take } : row)) })} />`
      : html`<div class="fields">${names.map((name) => { const [type, value] = [schema?.[name], name in mine ? mine[name] : base[name]]; const other = theirs && !equal(theirs[name], base[name]);
        return html`<label key=${name} for=${`field-${name}`}><span class="muted">${name}${type?.ref ? html` <a href=${`#/data/${encodeURIComponent(type.ref)}?key=${encodeURIComponent(JSON.stringify(value))}`} title="Follow the reference">→ ${type.ref}</a>` : ""}${/^https?:\/\//.test(value) ? html`<${Leave} to=${value} />` : ""}</span><${Field} name=${name} type=${type} value=${value} isKey=${name == keyField} onInput=${(next) => set(name, next)} />
          ${other && html`<span class="theirs">▲ theirs: ${text(theirs[name])}</span>`}${issues.filter((one) => one.field == name).map((one) => html`<span class="issue">${one.message}</span>`)}</label>`; })}</div>`}</div>
    <p class="muted small">version ${base._version} · changed <${Ago} at=${base._updatedAt} /> · made <${Ago} at=${base._createdAt} /></p>
    <p class="bar"><${Do} change primary disabled=${!isDirty && !review} onClick=${save}>Save<//>${(isDirty || review) && html`<button type="button" onClick=${() => { setMine({}); setReview(null); setBase(theirs ?? base); }}>Discard</button>`}
      <span class="grow"></span><button type="button" onClick=${() => copy(pretty(base))}>Copy JSON</button><${Do} change danger onClick=${() => onDelete(theirs ?? base)}>Delete<//></p><//>`;
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

/** The rows round the view: a window of a live order that moves, or pages. */
function useRows(bucket, filter, sort, isLive, from) {
  const name = JSON.stringify([bucket, filter, sort]);
  const config = { ...(Object.keys(filter).length && { filter }), ...(sort && { sort }) };
  const held = useRef({});
  const move = (live = held.current.live) => {
    if (!live || (held.current.live == live && held.current.from == from)) return;
    held.current = { live, from };
    live.move({ offset: from, limit: PIECE }).catch(() => {});
  };
  const live = useLive(isLive ? () => { const one = dbNow().bucket(bucket).live(config); move(one); return one; } : () => { held.current = {}; }, [name, isLive]);
  useEffect(() => move(), [from]);
  const paged = usePoll(async () => (isLive === false ? { name, from, rows: await asks("store.find", { bucket, ...config, limit: PIECE, offset: from }) } : null), 1e9, [name, from, isLive]);
  const kept = useRef({});
  if (kept.current.name != name) kept.current = { rows: [], from: 0, name };
  if (isLive && live.window && Array.isArray(live.data)) kept.current = { rows: live.data, from: live.window.offset, name };
  if (isLive === false && paged.data?.name == name) kept.current = paged.data;
  return { ...kept.current, status: isLive ? live.status : "paged", error: isLive ? live.error : paged.error, isRefused: isLive && live.error && !live.data, again: paged.again };
}

/** What is done with many records: a hundred a transaction. */
function Bulk({ bucket, keyField, rows, count: wanted, names, onClose }) {
  const [sure, sureOf] = useState(null);
  const [field, setField] = useState(names[0]);
  const [typed, type] = useState("");
  const { value, issue } = parse(typed);
  const run = async (make, done) => {
    let n = 0;
    for (; n < rows.length; n += 100) {
      const operations = rows.slice(n, n + 100).map((row) => ({ bucket, key: row[keyField], ...(takes("store.update", "expect") && { expect: { _version: row._version } }), ...make }));
      try { await asks("store.transaction", { operations }); } catch (error) {
        fail(error, "store.transaction", { bucket });
        return note("bad", `${count(n)} of ${count(rows.length)} were ${done}; each transaction of 100 is done whole or not at all`);
      }
    }
    note("good", `${plural(rows.length, "record")} ${done}`);
    onClose();
  };
  return html`<div class="bar" role="group" aria-label="Selection"><b>${plural(rows.length, "record")} selected</b>${wanted > rows.length && html`<span class="muted">of ${count(wanted)}: more than ${PIECE} at a time are not</span>`}
    <select aria-label="Field to set" value=${field} onChange=${(event) => setField(event.target.value)}>${names.map((name) => html`<option>${name}</option>`)}</select><input class="mono" size="10" aria-label="Value to set" placeholder="JSON" value=${typed} onInput=${(event) => type(event.target.value)} />
    <${Do} change disabled=${!typed || !!issue} title=${issue} onClick=${() => run({ op: "update", data: { [field]: value } }, "changed")}>Set<//><${Do} change danger onClick=${() => sureOf(true)}>Delete…<//><button type="button" onClick=${onClose}>Unselect</button>
    ${sure && html`<${Confirm} title=${`Delete ${plural(rows.length, "record")}`} yes="Delete" onClose=${() => sureOf(null)} onYes=${() => run({ op: "delete" }, "deleted")}><p>${plural(rows.length, "record")} of <b>${bucket}</b>, ${text(rows[0]?.[keyField])} to ${text(rows.at(-1)?.[keyField])}, are destroyed.</p><//>`}</div>`;
}

function Columns({ all, columns, onColumns, widths, onWidth }) {
  const step = (name, by) => { const next = columns.filter((one) => one != name); next.splice(Math.max(0, columns.indexOf(name) + by), 0, name); onColumns(next); };
  return html`<details class="menu"><summary>Columns ▾</summary><div class="wide">${[...columns, ...all.filter((name) => !columns.includes(name))].map((name) => { const isShown = columns.includes(name); return html`<div class="bar" key=${name}><label class="check grow"><input type="checkbox" checked=${isShown} disabled=${isShown && columns.length == 1} onChange=${() => onColumns(isShown ? columns.filter((one) => one != name) : [...columns, name])} />${name}</label>
    ${isShown && [["↑", "Move up", () => step(name, -1)], ["↓", "Move down", () => step(name, 1)], ["−", "Narrower", () => onWidth(name, Math.max(48, (widths[name] ?? 140) - 24))], ["+", "Wider", () => onWidth(name, (widths[name] ?? 140) + 24)]].map(([sign, what, fn]) => html`<button type="button" class="plain" aria-label=${`${what}: ${name}`} onClick=${fn}>${sign}</button>`)}</div>`; })}</div></details>`;
}

const ofRoute = (source) => { const value = source ? parse(source).value : null; return value && typeof value == "object" && !Array.isArray(value) ? value : null; };
function Bucket({ bucket }) {
  const { query, locked } = useApp();
  const filter = useMemo(() => ofRoute(query.get("filter")) ?? {}, [query.get("filter")]);
  const sort = useMemo(() => ofRoute(query.get("sort")), [query.get("sort")]);
  const [from, setFrom] = useState(0);
  const [wantsLive, setWants] = useState(null);
  const [shown, show] = useState(null);
  const [picked, pick] = useState(null);
  const [widths, setWidths] = useState(() => widthsOf(bucket));
  const onWidth = (name, px) => setWidths((old) => { const next = { ...old, [name]: px }; if (!px) delete next[name]; widthsOf(bucket, next); return next; });
  const schema = usePoll(() => asks("store.getBucketSchema", { name: bucket }), 30000, [bucket]);
  const first = usePoll(() => asks("store.count", Object.keys(filter).length ? { bucket, filter } : { bucket }), 1e9, [bucket, JSON.stringify(filter)]);
  const isSmall = first.data == null ? null : first.data <= LIVE_ROWS;
  const isLive = wantsLive ?? isSmall;
  const counted = useLive(isLive ? () => dbNow().bucket(bucket).live({ ...(Object.keys(filter).length && { filter }), aggregate: { function: "count" } }) : null, [bucket, JSON.stringify(filter), isLive]);
  const total = (isLive && typeof counted.data == "number" ? counted.data : first.data) ?? 0;
  const { rows, from: start, status, error, isRefused, again } = useRows(bucket, filter, sort, isLive, from);
  // Refused where ad-hoc queries are off: pages are not.
  useEffect(() => { if (isRefused && wantsLive !== false) setWants(false); }, [isRefused]);
  const fields = schema.data?.config?.schema;
  const known = useRef({});
  if (known.current.bucket != bucket) known.current = { bucket, types: {} };
  for (const row of rows.slice(0, 50)) for (const [name, value] of Object.entries(row)) known.current.types[name] ??= { type: META.test(name) || value === null ? undefined : Array.isArray(value) ? "array" : typeof value };
  const types = fields ?? known.current.types;
  const keyField = schema.data?.config?.key ?? (rows[0] && Object.keys(rows[0])[0]) ?? "id";
  const all = [...new Set([keyField, ...Object.keys(fields ?? {}), ...Object.keys(known.current.types).filter((name) => !META.test(name)), "_version", "_updatedAt", "_createdAt"])];
  const asked = (query.get("columns") ?? "").split(",").filter((name) => all.includes(name));
  const columns = asked.length ? asked : all.filter((name) => name != "_createdAt");
  const move = (part) => {
    const next = { filter, sort, columns: asked, ...part };
    pick(null);
    go(["data", bucket], { filter: Object.keys(next.filter).length ? JSON.stringify(next.filter) : "", sort: next.sort && JSON.stringify(next.sort), columns: next.columns.join(",") });
  };
  const order = (name) => move({ sort: sort?.[name] == "asc" ? { [name]: "desc" } : sort?.[name] == "desc" ? null : { [name]: "asc" } });
  const onWindow = (at, visible) => {
    if (at >= from && at + visible <= from + PIECE) return;
    setFrom(Math.max(0, Math.floor((at - (PIECE - visible) / 2) / 50) * 50));
  };
  const remove = async (record) => {
    try {
      const key = record[keyField];
      let was = record;
      if (takes("store.delete", "expect")) await asks("store.delete", { bucket, key, expect: { _version: record._version } });
      else was = (await asks("store.transaction", { operations: [{ op: "get", bucket, key }, { op: "delete", bucket, key }] })).results[0].data;
      show(null);
      const { _version, _createdAt, _updatedAt, ...data } = was;
      note("good", `Record ${text(key)} is deleted${_version == record._version ? "" : ", as somebody else had changed it in the last instant"}`, { ms: 10000, undo: () => act("store.insertMany", { bucket, data: [data] }, "It is back, as version 1", ACTING) });
    } catch (why) {
      fail(why, "store.delete", { bucket });
    }
  };
  useKeys({ n: () => { if (!app.locked) show({ isNew: true }); return true; }, Escape: () => { if (picked) pick(null); } });
  useEffect(() => {
    const { value } = parse(query.get("key") || "null");
    if (value != null) asks("store.get", { bucket, key: value }).then((record) => (record ? show({ record }) : note("bad", `No record ${text(value)} in ${bucket}`)), (why) => fail(why, "store.get", { bucket }));
  }, [query.get("key")]);
  useEffect(() => { if (first.error?.code == "BUCKET_NOT_DEFINED") note("bad", `Bucket ${bucket} is not there (any more)`), go(["data"]); }, [first.error]);
  const broken = first.error ?? (error && !rows.length ? error : null);
  return html`<div class="tab"><header><h1><a href="#/data">Data</a> <span class="muted">/</span> ${bucket}</h1><span class="muted">${plural(total, "row")}</span>
      ${isLive ? html`<${State} kind=${status == "live" ? "good" : "warn"}>${status == "live" ? "live" : status}<//>` : isLive === false && html`<${State} kind="off">pages<//><button type="button" onClick=${() => { first.again(); again(); }}>Ask again</button><button type="button" title="Costs the server memory for the order" onClick=${() => setWants(true)}>Go live</button>`}
      <span class="grow"></span><${Plan} bucket=${bucket} filter=${filter} /></header>
    <div class="bar"><${Filter} fields=${{ ...types, _version: { type: "number" }, _updatedAt: { type: "number" } }} filter=${filter} onFilter=${(next) => move({ filter: next })} /><span class="grow"></span>
      <${Do} change primary onClick=${() => show({ isNew: true })}>New<//><button type="button" onClick=${() => show({ isImport: true })}>Import</button><button type="button" onClick=${() => show({ isExport: true })}>Export</button>
      <button type="button" onClick=${() => show({ isSchema: true })}>Schema</button>
      <${Columns} all=${all} columns=${columns} widths=${widths} onWidth=${onWidth} onColumns=${(next) => move({ columns: next })} /></div>
    ${picked && html`<${Bulk} bucket=${bucket} keyField=${keyField} names=${all.filter((name) => name != keyField && !META.test(name))} count=${picked.to + 1 - picked.from} rows=${rows.slice(Math.max(0, picked.from - start), Math.max(0, picked.to + 1 - start))} onClose=${() => pick(null)} />`}
    <${Trouble} error=${broken} />
    <div class="split"><div class="main">${!broken && (total == 0 && first.data != null ? html`<${Empty} action=${Object.keys(filter).length ? html`<button type="button" onClick=${() => move({ filter: {} })}>Clear filter</button>` : null} snippet=${Object.keys(filter).length ? null : `await db.bucket(${JSON.stringify(bucket)}).insert({ … });`}>${Object.keys(filter).length ? "No record matches." : "No record yet."}<//>`
      : html`<${Grid} bucket=${bucket} keyField=${keyField} columns=${columns} types=${types} total=${total} rows=${rows} from=${start} onWindow=${onWindow} sort=${sort} onSort=${order} selected=${shown?.record?.[keyField]} widths=${widths} onWidth=${onWidth} picked=${picked} onPick=${pick} onOpen=${(record, field) => show({ record, field })} onDelete=${(record) => !locked && remove(record)} />`)}</div>
    ${shown?.record && html`<${Record} key=${text(shown.record[keyField])} bucket=${bucket} keyField=${keyField} schema=${fields} record=${shown.record} field=${shown.field} onClose=${() => show(null)} onDelete=${remove} />`}
    ${shown?.isNew && (schema.data || schema.error) && html`<${New} bucket=${bucket} keyField=${keyField} schema=${fields} onClose=${() => show(null)} />`}
    ${shown?.isSchema && html`<${Schema} bucket=${bucket} config=${schema.data?.config} error=${schema.error} again=${schema.again} onClose=${() => show(null)} />`}
    ${(shown?.isImport || shown?.isExport) && html`<${Transfer} bucket=${bucket} keyField=${keyField} schema=${fields} filter=${filter} sort=${sort} total=${total} isImport=${!!shown.isImport} onClose=${() => show(null)} />`}</div></div>`;
}

export default function Data() {
  const { route } = useApp();
  return route[1] ? html`<${Bucket} key=${route[1]} bucket=${route[1]} />` : html`<${Buckets} />`;
}
