// Import and export of records: JSON Lines, exact, or CSV for spreadsheets.
import { Do, Drawer, State, Table, asks, bytes, count, download, fail, html, plural, text, useMemo, useState } from "../ui.js";

const MOST_FILTERED = 50000;
const MOST_BYTES = 256 * 2 ** 20;
const BATCH = 200;
const PAGE = 1000;

/** What a spreadsheet would take for a formula gets a sign in front. */
const guarded = (value) => (/^'*[=+\-@]/.test(value) ? `'${value}` : value);
const isJson = (source) => { try { JSON.parse(source); return true; } catch { return false; } };
/** A string that would be read as something else stands in quotes; what is not there is empty. */
function cell(value) {
  if (value === undefined) return "";
  if (typeof value != "string") { const plain = text(value); return typeof value == "object" && value ? quoted(plain, true) : plain; }
  return quoted(guarded(value), value === "" || isJson(value));
}
const quoted = (plain, must) => (must || /[",\n\r]/.test(plain) || plain != plain.trim() ? `"${plain.replaceAll('"', '""')}"` : plain);
const utf8 = new TextEncoder();
const bytesOf = (source) => utf8.encode(source).length;
/**
 * What is exported, piece by piece and at most so many bytes: `take` says
 * whether all of a piece had room. In CSV a column that a later record brings
 * stands behind the others; lines from before it end with empty cells.
 */
export function sheet(form, most) {
  const isCsv = form == "csv";
  const [names, runs, end] = [new Set(), [], isCsv ? "\r\n" : "\n"];
  const head = () => (isCsv ? [...names].map((name) => quoted(name)).join(",") + end : "");
  let [size, n, cells, headSize] = [0, 0, 0, bytesOf(head())];
  return {
    get n() { return n; },
    take(rows) {
      let run;
      for (const row of rows) {
        const news = isCsv ? Object.keys(row).filter((name) => !names.has(name)) : [];
        for (const name of news) names.add(name);
        const line = isCsv ? [...names].map((name) => cell(row[name])).join(",") : JSON.stringify(row);
        const [lineSize, nextHead] = [bytesOf(line) + end.length, news.length ? bytesOf(head()) : headSize];
        // With the commas that lines from before are short of.
        if (size + lineSize + nextHead + names.size * n - cells > most) {
          for (const name of news) names.delete(name);
          return false;
        }
        if (!run || news.length) runs.push((run = { lines: [], width: names.size }));
        run.lines.push(line);
        headSize = nextHead;
        size += lineSize;
        cells += names.size;
        n++;
      }
      return true;
    },
    parts: () => [head(), ...runs.map(({ lines, width }) => lines.map((line) => line + ",".repeat(names.size - width) + end).join(""))],
  };
}
/** Fields of each line; one that stood in quotes is an array with it. */
export function rowsOfCsv(source) {
  const [rows, row, field] = [[], [], []];
  let [isQuoted, wasQuoted] = [false, false];
  const endField = () => { row.push(wasQuoted ? [field.join("")] : field.join("")); field.length = 0; wasQuoted = false; };
  const endRow = () => { endField(); if (row.length > 1 || row[0] !== "") rows.push(row.slice()); row.length = 0; };
  for (let i = 0; i < source.length; i++) {
    const c = source[i];
    if (isQuoted) {
      if (c == '"' && source[i + 1] == '"') field.push('"'), i++;
      else if (c == '"') isQuoted = false;
      else field.push(c);
    } else if (c == '"') isQuoted = wasQuoted = true;
    else if (c == ",") endField();
    else if (c == "\n") endRow();
    else if (c != "\r") field.push(c);
  }
  if (field.length || row.length) endRow();
  return rows;
}
const unguarded = (value) => value.replace(/^'(?='*[=+\-@])/, "");
/** A cell as a value of the field's type; without a type, as it looks. */
function typed(found, type) {
  const [value, wasQuoted] = Array.isArray(found) ? [found[0], true] : [found, false];
  if (value === "" && !wasQuoted) return undefined;
  if (value == "null" && !wasQuoted) return null;
  if (/object|array/.test(type)) return JSON.parse(value);
  if (wasQuoted && !type && /^[[{]/.test(value) && isJson(value)) return JSON.parse(value);
  if (type == "string" || wasQuoted) return unguarded(value);
  if (type == "number" || type == "boolean" || isJson(value)) { try { return JSON.parse(value); } catch { return value; } }
  return unguarded(value);
}

/** Lines of a file: `fields` as they stand there, or what is wrong. */
export function read(name, source) {
  if (/\.csv$/i.test(name)) {
    const [names = [], ...rows] = rowsOfCsv(source.replace(/^\ufeff/, ""));
    const plain = names.map(String);
    return { names: plain, isCsv: true, lines: rows.map((row, at) => ({ line: at + 2, fields: Object.fromEntries(plain.map((field, i) => [field, row[i] ?? ""])) })) };
  }
  const names = new Set();
  const lines = source.split("\n").flatMap((line, at) => {
    if (!line.trim()) return [];
    try {
      const fields = JSON.parse(line);
      if (!fields || typeof fields != "object" || Array.isArray(fields)) return [{ line: at + 1, issue: "expected an object" }];
      for (const field of Object.keys(fields)) names.add(field);
      return [{ line: at + 1, fields }];
    } catch { return [{ line: at + 1, issue: "is no JSON" }]; }
  });
  return { names: [...names], lines };
}
/** What the schema says against a record, before anything is sent. */
export function issueOf(record, schema) {
  for (const [field, rule] of Object.entries(schema ?? {})) {
    const value = record[field];
    if (value === undefined || value === null) { if (rule.required && !rule.generated && rule.default === undefined) return `${field} is required`; continue; }
    const kind = Array.isArray(value) ? "array" : typeof value;
    if (/^(string|number|boolean|array|object)$/.test(rule.type) && kind != rule.type) return `${field}: ${kind}, expected ${rule.type}`;
    if (rule.enum && !rule.enum.some((one) => one === value)) return `${field}: none of ${rule.enum.map(text).join(", ")}`;
    if (kind == "number" && (value < rule.min || value > rule.max)) return `${field}: ${value < rule.min ? `less than ${rule.min}` : `more than ${rule.max}`}`;
  }
}
/** The records that `map` (field of the file to field of the bucket) makes of what was read. */
export function recordsOf({ lines, isCsv }, map, schema) {
  return lines.map(({ line, fields, issue }) => {
    if (issue) return { line, issue };
    try {
      const record = {};
      for (const [name, to] of Object.entries(map)) {
        const value = to && isCsv ? typed(fields[name], schema ? schema[to]?.type : undefined) : fields[name];
        if (to && value !== undefined) record[to] = value;
      }
      return { line, record, issue: issueOf(record, schema) };
    } catch (error) { return { line, issue: error.message }; }
  });
}

const META = ["_version", "_createdAt", "_updatedAt"];

function Import({ bucket, schema }) {
  const [file, set] = useState(null);
  const [map, setMap] = useState({});
  const [way, setWay] = useState("error");
  const [state, report] = useState(null);
  const pick = async (event) => {
    const chosen = event.target.files[0];
    if (!chosen) return;
    const found = read(chosen.name, await chosen.text());
    set(found);
    setMap(Object.fromEntries(found.names.map((name) => [name, META.includes(name) || (schema && !schema[name]) ? "" : name])));
    report(null);
  };
  const lines = useMemo(() => file && recordsOf(file, map, schema), [file, map, schema]);
  const targets = [...new Set([...Object.keys(schema ?? {}), ...(schema ? [] : file?.names ?? [])])].filter((name) => !META.includes(name));
  const run = async () => {
    report({ done: 0, skipped: 0, problems: [] });
    const problems = lines.filter((one) => one.issue).map(({ line, issue }) => ({ line, issue }));
    const good = lines.filter((one) => !one.issue);
    let [done, skipped] = [0, 0];
    for (let at = 0; at < good.length; at += BATCH) {
      let batch = good.slice(at, at + BATCH);
      while (batch.length) {
        try {
          const answer = await asks("store.insertMany", { bucket, data: batch.map((one) => one.record), onConflict: way, answer: "counts" });
          done += answer.inserted + answer.replaced;
          skipped += answer.skipped;
          break;
        } catch (error) {
          // The batch goes again without the record that the error names.
          const named = /^data\[(\d+)\]: ?(.*)/.exec(error.message);
          if (!named) { report({ done, skipped, problems, stopped: error.message }); return fail(error, "store.insertMany", { bucket }); }
          problems.push({ line: batch[+named[1]].line, issue: named[2] });
          batch = batch.filter((_, i) => i != +named[1]);
        }
      }
      report({ done, skipped, problems });
    }
    problems.sort((a, b) => a.line - b.line);
    report({ done, skipped, problems, isOver: true });
  };
  return html`<label>File: JSON Lines or CSV<input type="file" accept=".jsonl,.ndjson,.json,.csv" onChange=${pick} /></label>
    ${file?.names.length > 0 && html`<details open=${file.names.some((name) => !map[name] && !META.includes(name))}><summary>Columns: ${count(Object.values(map).filter(Boolean).length)} of ${count(file.names.length)} are taken</summary><div class="fields">${file.names.map((name) => html`<label key=${name}><span class="muted mono">${name}</span><select aria-label=${`Field for ${name}`} value=${map[name]} onChange=${(event) => setMap({ ...map, [name]: event.target.value })}><option value="">leave out</option>${targets.map((one) => html`<option>${one}</option>`)}</select></label>`)}</div></details>`}
    ${lines && html`<p>${plural(lines.length, "line")}, ${plural(lines.filter((one) => one.issue).length, "problem")} so far. Batches of ${BATCH}: each one is done whole or not at all, the import as a whole is not.</p>
      <${Table} label="Preview" rows=${lines.slice(0, 20)} keyOf=${(row) => row.line} columns=${[["line", (row) => row.line, { right: true }], ["record", (row) => (row.issue ? html`<span class="bad">${row.issue}</span>` : text(row.record)), { mono: true }]]} />
      <p class="bar end"><label>A key that is there<select value=${way} onChange=${(event) => setWay(event.target.value)}><option value="error">is a problem</option><option value="skip">is left as it is</option><option value="replace">is replaced</option></select></label>
      <${Do} change primary disabled=${state && !state.isOver && !state.stopped} onClick=${run}>Import<//></p>`}
    ${state && html`<p role="status"><b>${plural(state.done, "record")} imported</b>, ${state.skipped ? `${count(state.skipped)} left as they were, ` : ""}${plural(state.problems.length, "problem")}${state.stopped ? `: ${state.stopped}` : state.isOver ? "" : "…"}</p>
      ${state.problems.length > 0 && html`<${Table} label="Problems" rows=${state.problems.slice(0, 200)} keyOf=${(row) => row.line} columns=${[["line", (row) => row.line, { right: true }], ["problem", (row) => row.issue]]} />`}`}`;
}

function Export({ bucket, filter, sort, total }) {
  const [state, set] = useState(null);
  const isFiltered = Object.keys(filter).length > 0;
  const run = async (form) => {
    const out = sheet(form, MOST_BYTES);
    let [after, hasRoom, isCut] = [undefined, true, false];
    const take = (piece) => { hasRoom = out.take(piece); set({ n: out.n }); return piece.length; };
    try {
      if (isFiltered) {
        const find = (offset, limit) => asks("store.find", { bucket, filter, ...(sort && { sort }), limit, offset });
        let offset = 0;
        while (hasRoom && offset < MOST_FILTERED && take(await find(offset, PAGE)) == PAGE) offset += PAGE;
        isCut = !hasRoom || (offset == MOST_FILTERED && (await find(offset, 1)).length > 0);
      } else {
        for (let more = true; more && hasRoom; ) {
          const page = await asks("store.paginate", { bucket, limit: PAGE, ...(after !== undefined && { after }) });
          take(page.records);
          [after, more] = [page.nextCursor, page.hasMore];
        }
        isCut = !hasRoom;
      }
    } catch (error) { return fail(error, isFiltered ? "store.find" : "store.paginate", { bucket }); }
    download(`${bucket}.${form == "csv" ? "csv" : "jsonl"}`, out.parts(), form == "csv" ? "text/csv" : "application/x-ndjson");
    set({ n: out.n, isOver: true, isCut });
  };
  return html`<p>${isFiltered ? `The ${plural(Math.min(total, MOST_FILTERED), "record")} of this filter` : `All ${plural(total, "record")} of ${bucket}`}.</p>
    <p class="bar"><button type="button" class="primary" onClick=${() => run("jsonl")}>JSON Lines</button><button type="button" onClick=${() => run("csv")}>CSV</button></p>
    <p class="muted small">JSON Lines is exact. More than ${bytes(MOST_BYTES)}: <code>noexd export --output FILE</code></p>
    ${state && html`<p role="status">${state.isCut && html`<${State} kind="warn">cut:<//> `}${plural(state.n, "record")}${state.isOver ? " exported" : "…"}${state.isCut ? `, and that is not all: the bound is ${bytes(MOST_BYTES)}${isFiltered ? ` and ${count(MOST_FILTERED)} records of a filter` : ""}` : ""}</p>`}`;
}

export default function Transfer({ isImport, onClose, ...rest }) {
  return html`<${Drawer} title=${`${isImport ? "Import into" : "Export of"} ${rest.bucket}`} wide=${isImport} onClose=${onClose}>${isImport ? html`<${Import} ...${rest} />` : html`<${Export} ...${rest} />`}<//>`;
}
