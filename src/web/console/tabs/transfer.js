// Import and export of records: JSON Lines, exact, or CSV for spreadsheets.
import { Do, Drawer, Table, ask, bytes, count, download, fail, html, plural, text, useMemo, useState } from "../ui.js";

const MOST_FILTERED = 50000;
const MOST_BYTES = 256 * 2 ** 20;
const BATCH = 200;

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
export function csvOf(rows) {
  const names = [...new Set(rows.flatMap(Object.keys))];
  return [names.map((name) => quoted(name)).join(","), ...rows.map((row) => names.map((name) => cell(row[name])).join(","))].join("\r\n") + "\r\n";
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
          const answer = await ask("store.insertMany", { bucket, data: batch.map((one) => one.record), onConflict: way, answer: "counts" }, { acting: true });
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
    const [parts, rows] = [[], []];
    let [size, n, after] = [0, 0, undefined];
    const take = (piece) => {
      n += piece.length;
      if (form == "csv") rows.push(...piece);
      else { const lines = piece.map((row) => JSON.stringify(row) + "\n").join(""); size += lines.length; parts.push(lines); }
      set({ n });
    };
    try {
      if (isFiltered) {
        for (let offset = 0; offset < MOST_FILTERED; offset += 1000) {
          const piece = await ask("store.find", { bucket, filter, ...(sort && { sort }), limit: 1000, offset }, { acting: true });
          take(piece);
          if (piece.length < 1000) break;
        }
      } else {
        for (let more = true; more && size < MOST_BYTES; ) {
          const page = await ask("store.paginate", { bucket, limit: 1000, ...(after !== undefined && { after }) }, { acting: true });
          take(page.records);
          [after, more] = [page.nextCursor, page.hasMore];
        }
      }
    } catch (error) { return fail(error, "store.find", { bucket }); }
    download(`${bucket}.${form == "csv" ? "csv" : "jsonl"}`, form == "csv" ? [csvOf(rows)] : parts, form == "csv" ? "text/csv" : "application/x-ndjson");
    set({ n, isOver: true });
  };
  return html`<p>${isFiltered ? `The ${plural(Math.min(total, MOST_FILTERED), "record")} of this filter` : `All ${plural(total, "record")} of ${bucket}`}.</p>
    <p class="bar"><button type="button" class="primary" onClick=${() => run("jsonl")}>JSON Lines</button><button type="button" onClick=${() => run("csv")}>CSV</button></p>
    <p class="muted small">JSON Lines is exact. More than ${bytes(MOST_BYTES)}: <code>noexd export --output FILE</code></p>
    ${state && html`<p role="status">${plural(state.n, "record")}${state.isOver ? " exported" : "…"}</p>`}`;
}

export default function Transfer({ isImport, onClose, ...rest }) {
  return html`<${Drawer} title=${`${isImport ? "Import into" : "Export of"} ${rest.bucket}`} wide=${isImport} onClose=${onClose}>${isImport ? html`<${Import} ...${rest} />` : html`<${Export} ...${rest} />`}<//>`;
}
