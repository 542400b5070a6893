// Import and export of records: JSON Lines, exact, or CSV for spreadsheets.
import { Do, Drawer, Table, act, app, ask, bytes, count, download, fail, html, note, plural, text, useState } from "../ui.js";

const MOST_FILTERED = 50000;
const MOST_BYTES = 256 * 2 ** 20;
const BATCH = 200;

/** What a spreadsheet would take for a formula gets a sign in front. */
const guarded = (value) => (/^[=+\-@]/.test(value) ? `'${value}` : value);
const cell = (value) => {
  const plain = value === null || value === undefined ? "" : typeof value == "string" ? guarded(value) : text(value);
  return /[",\n\r]/.test(plain) ? `"${plain.replaceAll('"', '""')}"` : plain;
};
export function csvOf(rows) {
  const names = [...new Set(rows.flatMap(Object.keys))];
  return [names.map(cell).join(","), ...rows.map((row) => names.map((name) => cell(row[name])).join(","))].join("\r\n") + "\r\n";
}
export function rowsOfCsv(source) {
  const [rows, row, field] = [[], [], []];
  let isQuoted = false;
  const endField = () => (row.push(field.join("")), (field.length = 0));
  const endRow = () => { endField(); if (row.length > 1 || row[0] !== "") rows.push(row.slice()); row.length = 0; };
  for (let i = 0; i < source.length; i++) {
    const c = source[i];
    if (isQuoted) {
      if (c == '"' && source[i + 1] == '"') field.push('"'), i++;
      else if (c == '"') isQuoted = false;
      else field.push(c);
    } else if (c == '"') isQuoted = true;
    else if (c == ",") endField();
    else if (c == "\n") endRow();
    else if (c != "\r") field.push(c);
  }
  if (field.length || row.length) endRow();
  return rows;
}
function typed(value, type) {
  if (value === "" && type != "string") return undefined;
  if (type == "number") return Number(value);
  if (type == "boolean") return value == "true";
  if (type == "object" || type == "array") return JSON.parse(value);
  return value.replace(/^'(?=[=+\-@])/, "");
}

/** Lines of a file as records, with what is wrong with each. */
export function read(name, source, schema) {
  const out = [];
  if (/\.csv$/i.test(name)) {
    const [names = [], ...rows] = rowsOfCsv(source);
    rows.forEach((row, at) => {
      try {
        const record = {};
        names.forEach((field, i) => { const value = typed(row[i] ?? "", schema?.[field]?.type ?? "string"); if (value !== undefined) record[field] = value; });
        out.push({ line: at + 2, record });
      } catch (error) { out.push({ line: at + 2, issue: error.message }); }
    });
    return out;
  }
  source.split("\n").forEach((line, at) => {
    if (!line.trim()) return;
    try {
      const record = JSON.parse(line);
      out.push(record && typeof record == "object" && !Array.isArray(record) ? { line: at + 1, record } : { line: at + 1, issue: "expected an object" });
    } catch { out.push({ line: at + 1, issue: "is no JSON" }); }
  });
  return out;
}

const META = ["_version", "_createdAt", "_updatedAt"];

function Import({ bucket, schema }) {
  const [lines, set] = useState(null);
  const [way, setWay] = useState("error");
  const [state, report] = useState(null);
  const pick = async (event) => {
    const file = event.target.files[0];
    if (file) set(read(file.name, await file.text(), schema)), report(null);
  };
  const run = async () => {
    const problems = lines.filter((one) => one.issue).map(({ line, issue }) => ({ line, issue }));
    const good = lines.filter((one) => !one.issue);
    let done = 0;
    for (let at = 0; at < good.length; at += BATCH) {
      let batch = good.slice(at, at + BATCH);
      while (batch.length) {
        try {
          const data = batch.map(({ record }) => Object.fromEntries(Object.entries(record).filter(([name]) => !META.includes(name))));
          const answer = await ask("store.insertMany", { bucket, data, onConflict: way, answer: "counts" });
          done += answer.inserted + answer.replaced;
          break;
        } catch (error) {
          // The batch goes again without the record that the error names.
          const named = /^data\[(\d+)\]: ?(.*)/.exec(error.message);
          if (!named) { report({ done, problems, stopped: error.message }); return fail(error, "store.insertMany", { bucket }); }
          problems.push({ line: batch[+named[1]].line, issue: named[2] });
          batch = batch.filter((_, i) => i != +named[1]);
        }
      }
      report({ done, problems, of: good.length });
    }
    report({ done, problems, isOver: true });
  };
  return html`<label>File: JSON Lines or CSV<input type="file" accept=".jsonl,.ndjson,.json,.csv" onChange=${pick} /></label>
    ${lines && html`<p>${plural(lines.length, "line")}, ${plural(lines.filter((one) => one.issue).length, "problem")} so far. Batches of ${BATCH}: each one is done whole or not at all, the import as a whole is not.</p>
      <${Table} label="Preview" rows=${lines.slice(0, 20)} keyOf=${(row) => row.line} columns=${[["line", (row) => row.line, { right: true }], ["record", (row) => (row.issue ? html`<span class="bad">${row.issue}</span>` : text(row.record)), { mono: true }]]} />
      <p class="bar end"><label>A key that is there<select value=${way} onChange=${(event) => setWay(event.target.value)}><option value="error">is a problem</option><option value="skip">is left as it is</option><option value="replace">is replaced</option></select></label>
      <${Do} change primary onClick=${run}>Import<//></p>`}
    ${state && html`<p role="status"><b>${plural(state.done, "record")} imported</b>, ${plural(state.problems.length, "problem")}${state.stopped ? `: ${state.stopped}` : state.isOver ? "" : "…"}</p>
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
          const piece = await ask("store.find", { bucket, filter, ...(sort && { sort }), limit: 1000, offset });
          take(piece);
          if (piece.length < 1000) break;
        }
      } else {
        for (let more = true; more && size < MOST_BYTES; ) {
          const page = await ask("store.paginate", { bucket, limit: 1000, ...(after !== undefined && { after }) });
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
