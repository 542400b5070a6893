// What every tab of the console is made of: the state of the page, the one
// place that sends requests, live data and polling, and the parts on screen
// (table, drawer, form, editor, chart). It knows no tab. Data reaches the DOM
// as text nodes only.
import { Fragment, h, render } from "./vendor/preact.js";
import { useEffect, useLayoutEffect, useMemo, useRef, useState } from "./vendor/hooks.js";
import htm from "./vendor/htm.js";
import { NoexdError, connect, version } from "./noexd.js";

export const html = htm.bind(h);
export { Fragment, render, useEffect, useLayoutEffect, useMemo, useRef, useState, NoexdError };

// The state of the page

/** Everything that more than one part looks at; `change` tells them. */
export const app = {
  config: {}, db: null, ops: null, locked: true, status: "connecting", since: 0, ping: null, commit: null,
  user: null, frozen: false, route: [], query: new URLSearchParams(), notes: [], acting: null, drawer: null, mode: "open",
};
const watchers = new Set();
export function change(part) {
  Object.assign(app, part);
  for (const fn of [...watchers]) fn();
}
export function useApp() {
  const [, set] = useState(0);
  useEffect(() => {
    const fn = () => set((n) => n + 1);
    watchers.add(fn);
    return () => watchers.delete(fn);
  }, []);
  return app;
}

const ROLES = { superadmin: 4, admin: 3, writer: 2, reader: 1 };
const ORDER = ["none", "read", "write", "admin", "super"];
/** What the server let this user do last, and what it refused, by operation. */
const decided = new Map();
export const undecided = () => decided.clear();
/** For labels, and for what a tab shows first: the server decides, and what it
    said of an operation counts more than the names of roles. What a role of
    somebody's own may do is not known here, nor any of a token from elsewhere. */
export function seems(wanted, operation) {
  if (decided.has(operation)) return decided.get(operation);
  const roles = app.user?.roles ?? [];
  return app.config.auth != "builtIn" || wanted == "none" || roles.some((role) => (ROLES[role] ?? 3) >= ORDER.indexOf(wanted));
}
function learn(type, isLet) {
  if (decided.get(type) === isLet) return;
  decided.set(type, isLet);
  change();
}

// Routes: all that may be shared is in the fragment

export function go(path, query) {
  const text = query ? new URLSearchParams(Object.entries(query).filter(([, v]) => v != null && v !== "")).toString() : "";
  location.hash = `#/${path.map(encodeURIComponent).join("/")}${text ? `?${text}` : ""}`;
}
export function readRoute() {
  const [path, query] = location.hash.replace(/^#\/?/, "").split("?");
  const part = (text) => { try { return decodeURIComponent(text); } catch { return text; } };
  change({ route: path.split("/").filter(Boolean).map(part), query: new URLSearchParams(query), drawer: null });
}

// Requests

const READS = new Set(["get", "where", "findOne", "count", "first", "last", "find", "all", "paginate", "sum", "avg", "min", "max"]);
/** Whether an operation changes something; unknown ones do. */
export function changes(type, fields) {
  if (type == "store.transaction") return !(fields?.operations ?? []).every((one) => READS.has(one?.op));
  if (!type.includes(".")) return type != "ping";
  return app.ops?.[type] ? !!app.ops[type][1] : true;
}

/** In this page's memory and nowhere else; the connection that acts as somebody
    else has it, too. */
let kept;
export const token = { get: () => kept, set: (value) => { kept = value; }, delete: () => { kept = undefined; } };
/** Who wants to see each message as it came: `[db, fn]`. */
const hearing = new Set();
export function dial(options) {
  const db = connect(new URL(app.config.path, location.href.split(/[?#]/)[0]).href.replace(/^http/, "ws"), { queue: false, ...options, WebSocket: class extends WebSocket {
    constructor(url) {
      super(url);
      this.addEventListener("message", ({ data }) => { for (const [from, fn] of hearing) if (from == db) fn(JSON.parse(data)); });
    }
  } });
  return db;
}
/** The connection of whoever this page is now. */
export const dbNow = () => app.acting?.db ?? app.db;
export function endActing() {
  const { acting } = app;
  if (acting) change({ acting: null });
  acting?.db.close();
}

/** Whether the server takes this field of an operation. */
export const takes = (type, field) => (app.ops?.[type]?.[2] ?? "").split(" ").includes(field);

/** What an operation works on: a refusal says it, or it is the field that the server looks at. */
function locate(error, type, fields = {}) {
  const [, operation, resource] = /^No (?:permission for|access to) (\S+) on ([^]+)$/.exec(error.message) ?? [];
  if (operation) error.operation = operation;
  const { bucket, query, topic, key, pattern, name } = fields;
  const field = /^rules/.test(type) ? topic ?? key ?? pattern : /\.(un)?define/.test(type) ? name ?? bucket : bucket ?? query ?? name;
  error.resource ??= resource == "*" ? undefined : resource ?? field ?? fields.procedure?.name ?? fields.definition?.name ?? fields.constraint?.on;
  return error;
}

/** The one place that sends: what changes something does not leave a locked page.
    `db`: another connection than one's own, `acting`: that of whoever this page is now. */
export async function ask(type, fields = {}, o = {}) {
  if (app.locked && changes(type, fields)) throw new NoexdError("LOCKED", "The console is locked: unlock it to change something", undefined, type);
  if (app.status != "online" && changes(type, fields)) throw new NoexdError("OFFLINE", "Not connected: nothing was sent", undefined, type);
  const db = o.db ?? (o.acting ? dbNow() : app.db);
  try {
    const answer = await db.request(type, fields, { timeoutMs: o.timeoutMs });
    if (db == app.db) learn(type, true);
    if (app.pressure && changes(type, fields)) change({ pressure: null });
    return answer;
  } catch (error) {
    // All writes meet it until it is over: it stands above everything.
    if (error.code == "BACKPRESSURE") change({ pressure: error.message });
    if (error.code == "FORBIDDEN" && db == app.db) learn(type, false);
    throw locate(error, type, fields);
  }
}
/** As whoever this page is now. */
export const asks = (type, fields, o) => ask(type, fields, { ...o, acting: true });
/** What makes subscriptions, and what ends one, by its family. A tail ends with its connection. */
export const STREAMS = /\.(subscribe\w*|live|trace|tail)$/;
const ENDS = { store: "store.unsubscribe", rules: "rules.unsubscribe", logic: "logic.unsubscribeView", server: "server.untrace" };
/** Sends it and hands on what is pushed for it, from the first push on, which may stand right behind the answer. */
export async function streamed(type, sent, show) {
  const db = dbNow();
  const [now, early] = [{ type, n: 0, pushes: [] }, []];
  let ids;
  const told = (part) => { Object.assign(now, part); if (now.stop) show({ ...now }); };
  const take = ({ subscriptionId, data, event, reason }) => {
    if (!ids.has(subscriptionId)) return;
    const what = event ? { event, reason } : data;
    if (event == "subscription_cancelled" || data?.closed || data?.kind == "end") ids.delete(subscriptionId);
    told({ n: now.n + 1, pushes: [now.isMany ? { subscriptionId, data: what } : what, ...now.pushes].slice(0, 100), ended: !ids.size && "ended" });
  };
  const heard = [db, (message) => { if (message.subscriptionId != null) ids ? take(message) : early.push(message); }];
  hearing.add(heard);
  const off = db.on("status", () => { ids?.clear(); told({ ended: "ended with the connection" }); });
  const silence = () => { hearing.delete(heard); off(); };
  try {
    const answer = await ask(type, sent, { db });
    const made = [[type, answer], ...(answer?.results ?? []).map((one, i) => [sent.subscriptions?.[i]?.type ?? type, one])].map(([of, one]) => [one?.subscriptionId ?? one?.tailId, of]).filter(([id]) => id);
    ids = new Map(made);
    if (!ids.size) return silence(), answer;
    now.isMany = ids.size > 1;
    now.stop = () => {
      silence();
      // One that is over already is refused, which is what was wanted.
      for (const [id, of] of ids) if (!/\.tail$/.test(of)) db.request(ENDS[of.split(".")[0]], { subscriptionId: id }).catch(() => {});
      ids.clear();
    };
    told({});
    early.forEach(take);
    return answer;
  } catch (error) {
    silence();
    throw error;
  }
}

/** As `ask`, with what happened said on the page. Undefined where it failed. */
export async function act(type, fields, done, o) {
  try {
    const answer = await ask(type, fields, o);
    if (done) note("good", typeof done == "function" ? done(answer) : done);
    return answer ?? null;
  } catch (error) {
    fail(error, type, fields);
  }
}
export function unlock() {
  if (!app.config.readOnly) change({ locked: false });
}

// Notes: errors stay until they are dismissed

let noteId = 0;
export function note(kind, text, more) {
  // The same again stands there once; errors stay, of the rest the newest three.
  const old = app.notes.filter((each) => each.text != text || each.kind != kind);
  const one = { id: ++noteId, kind, text, times: 1 + (app.notes.find((each) => !old.includes(each))?.times ?? 0), ...more };
  change({ notes: [...old.filter((each, at) => each.kind == "bad" || at > old.length - 4), one] });
  if (kind == "good") setTimeout(() => unnote(one.id), more?.ms ?? 4000);
  return one.id;
}
export const unnote = (id) => change({ notes: app.notes.filter((one) => one.id != id) });
export function fail(error, type, fields) {
  locate(error, type ?? "", fields);
  const operation = error.operation ?? type;
  const issues = Array.isArray(error.issues) && error.issues.length ? `: ${error.issues.map((one) => `${one.field ?? one.path ?? ""} ${one.message ?? ""}`).join("; ")}` : "";
  if (error.code == "BACKPRESSURE") return;
  note("bad", `${error.code ?? "ERROR"}: ${error.message}${error.message?.includes(error.issues?.[0]?.message) ? "" : issues}`, { operation, resource: error.resource, code: error.code, message: error.message, until: untilOf(error) });
}
/** What helps whoever looks into an error of the server: no data. */
export const report = (one) => `operation: ${one.operation}\ncode: ${one.code}\nmessage: ${one.message}\nversion: ${version}`;
/** Why somebody may not, for those who may ask: `access.explain` in People. Tokens
    from elsewhere bring roles of which the server knows nothing but what they say. */
export const Why = ({ code, operation, resource }) => code == "FORBIDDEN" && seems("admin", "access.explain") && app.config.auth != "open"
  && html`<button type="button" onClick=${() => { const who = app.acting ?? app.user; go(["people", "may"], { operation, resource, user: who.id ?? who.userId, roles: app.config.auth == "external" ? JSON.stringify(who.roles ?? []) : "" }); }}>Why?</button>`;

/** Until when a server that was asked too often wants nothing more. */
export const untilOf = ({ code, retryAfterMs }) => (code == "RATE_LIMITED" && retryAfterMs ? Date.now() + retryAfterMs : 0);
/** The time that is left, second by second. */
export function Left({ until }) {
  const [now, tick] = useState(Date.now());
  useEffect(() => {
    const timer = setInterval(() => tick(Date.now()), 1000);
    return () => clearInterval(timer);
  }, [until]);
  return until > now ? html` (again in ${Math.ceil((until - now) / 1000)} s)` : until ? " (again now)" : null;
}

// Keys

/** Single letters act outside of fields, and can be switched off. */
export const isTyping = (event) => event.target.closest?.("input,textarea,select,dialog") || event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented || document.documentElement.dataset.keys == "off";
export function useKeys(keys) {
  const now = useRef();
  now.current = keys;
  useEffect(() => {
    const fn = (event) => { if (!isTyping(event) && now.current[event.key]?.(event) !== undefined) event.preventDefault(); };
    addEventListener("keydown", fn);
    return () => removeEventListener("keydown", fn);
  }, []);
}
/** The row of a table that has the focus. */
export const rowAt = (rows) => rows[document.activeElement?.closest?.("[data-at]")?.dataset.at];
/** To the first of these that is still there; in a grid or table, to its place in it. */
function refocus(path) {
  for (const node of path) {
    if (!node.isConnected || !node.matches) continue;
    const next = node.matches("[tabindex],dialog,main,button,a,input") && !node.disabled ? node : node.matches(".grid,table") ? node.querySelector("[tabindex='0']") : null;
    if (next) return next.focus();
  }
  document.getElementById("tab")?.focus();
}
// What had the focus and went away, or cannot have it any more, hands it to what it stood in.
let path = [];
addEventListener("focusin", (event) => { path = event.composedPath(); });
new MutationObserver(() => requestAnimationFrame(() => requestAnimationFrame(() => {
  if (document.activeElement != document.body || !path.length || (path[0].isConnected && !path[0].disabled)) return;
  const from = path;
  path = [];
  refocus(from);
}))).observe(document.getElementById("app"), { childList: true, subtree: true, attributes: true, attributeFilter: ["disabled"] });

// Live data and polling

/** The snapshot of a Live; frozen while updates are. */
export function useLive(make, deps) {
  const key = JSON.stringify(deps);
  const [state, set] = useState({});
  const { frozen } = useApp();
  const held = useRef({});
  const take = () => { const snap = held.current.live.snapshot(); held.current.at = snap.window?.offset; set({ key, snap }); };
  useEffect(() => {
    const live = make?.();
    if (!live) return set({});
    held.current = { live };
    take();
    // A refusal before any data shows as the snapshot's status; who scrolls while
    // updates are frozen sees what is there now.
    return live.subscribe((next) => { if (!app.frozen || next.window?.offset != held.current.at) take(); });
  }, deps);
  useEffect(() => { if (!frozen && held.current.live) take(); }, [frozen]);
  return state.key == key ? state.snap : { status: "loading" };
}

/** Asks again and again while somebody looks; one request at a time. `every`: ms, or says them. */
export function usePoll(fn, every, deps = []) {
  const now = useRef();
  now.current = typeof every == "function" ? every : () => every;
  const [state, set] = useState({});
  const again = useRef(() => {});
  useEffect(() => {
    let timer, isOver = false, wait = now.current(), isAsking = false;
    const turn = async () => {
      clearTimeout(timer);
      if (isOver || isAsking) return;
      if (document.visibilityState == "visible" && app.status == "online" && !app.frozen) {
        isAsking = true;
        try {
          const data = await fn();
          if (!isOver) set({ data, at: Date.now() });
          wait = now.current();
        } catch (error) {
          if (!isOver) set((old) => ({ ...old, error }));
          if (error.code == "RATE_LIMITED") wait = Math.min(30000, wait * 2);
          if (/NOT_AVAILABLE|UNKNOWN_OPERATION|FORBIDDEN|UNAUTHORIZED/.test(error.code)) wait = 30000;
        }
        isAsking = false;
      }
      if (!isOver) timer = setTimeout(turn, wait);
    };
    again.current = turn;
    const mayAsk = () => document.visibilityState == "visible" && app.status == "online" && !app.frozen;
    let could = mayAsk();
    const seen = () => { const can = mayAsk(); if (can && !could) turn(); could = can; };
    document.addEventListener("visibilitychange", seen);
    watchers.add(seen);
    turn();
    return () => {
      isOver = true;
      clearTimeout(timer);
      watchers.delete(seen);
      document.removeEventListener("visibilitychange", seen);
    };
  }, deps);
  return { ...state, again: () => again.current() };
}

// Words and figures

export const count = (n) => (n == null ? "–" : Number(n).toLocaleString("en-US", { maximumFractionDigits: 1 }));
export function bytes(n) {
  if (n == null) return "–";
  for (const unit of ["B", "KiB", "MiB", "GiB", "TiB"]) {
    if (n < 1024 || unit == "TiB") return `${n < 10 && unit != "B" ? n.toFixed(1) : Math.round(n)} ${unit}`;
    n /= 1024;
  }
}
export function span(ms) {
  if (ms == null) return "–";
  if (ms < 1000) return `${Math.round(ms)} ms`;
  const [s, m, hours] = [ms / 1000, ms / 60000, ms / 3600000];
  return s < 90 ? `${Math.round(s)} s` : m < 90 ? `${Math.round(m)} min` : hours < 48 ? `${Math.round(hours)} h` : `${Math.round(hours / 24)} d`;
}
export const clock = (at) => new Date(at).toLocaleTimeString("en-GB");
export function Ago({ at }) {
  if (!at) return html`<span class="muted">–</span>`;
  const ms = Date.now() - at;
  return html`<time title=${new Date(at).toISOString()}>${ms < 2000 && ms > -2000 ? "now" : ms < 0 ? `in ${span(-ms)}` : `${span(ms)} ago`}</time>`;
}
export const short = (id) => (String(id).length > 16 ? `${String(id).slice(0, 7)}…${String(id).slice(-6)}` : String(id));
/** An id, shortened in the middle, to be copied whole. */
export const Id = ({ id }) => html`<span class="id" title=${id}>${short(id)}<button type="button" class="plain" aria-label=${`Copy ${id}`} onClick=${() => copy(id)}>⧉</button></span>`;
/** A value as a line of text. */
export const text = (value) => (value === undefined ? "" : typeof value == "string" ? value : JSON.stringify(value));
export const plural = (n, one, many = `${one}s`) => `${count(n)} ${n == 1 ? one : many}`;
export async function copy(value) {
  try {
    await navigator.clipboard.writeText(value);
    note("good", "Copied");
  } catch {
    note("bad", "The browser does not let this page copy");
  }
}
export function download(name, parts, type = "application/x-ndjson") {
  const url = URL.createObjectURL(new Blob(parts, { type }));
  const link = document.createElement("a");
  link.href = url;
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(url), 10000);
}

// Parts

/** A button that says why it cannot be pressed. */
export function Do({ change: isChange, primary, danger, disabled, title, onClick, children, ...rest }) {
  const { locked, status } = useApp();
  const isHeld = isChange && (locked || status != "online");
  return html`<button type="button" ...${rest} class=${`${primary ? "primary" : ""} ${danger ? "danger" : ""} ${rest.class ?? ""}`}
    disabled=${disabled || isHeld} title=${isHeld ? (locked ? "unlock to change" : "not connected") : title} onClick=${onClick}>${children}</button>`;
}
export const Code = ({ children }) => html`<div class="code"><pre tabindex="0">${children}</pre><button type="button" onClick=${() => copy(children)}>Copy</button></div>`;
export function Empty({ children, snippet, action }) {
  return html`<div class="empty"><p>${children}</p>${action}${snippet && html`<${Code}>${snippet}<//>`}</div>`;
}

const SWITCHES = {
  rules: `{ "rules": true }`, procedures: `{ "procedures": true }`, logic: `{ "logic": true }`, audit: `{ "audit": true }`,
  identity: `{ "auth": { "builtIn": true, "adminSecretFile": "secret" } }`, store: `noexd --data-dir DIR`,
};
export const isOff = (error) => /UNKNOWN_OPERATION|NOT_AVAILABLE/.test(error?.code);
/** What a request of the whole tab answered, where that was an error. */
export function Trouble({ error, family }) {
  if (!error) return null;
  if (isOff(error) && family) return html`<${Empty} snippet=${SWITCHES[family]}>Switched off on this server (${error.message}). It is switched on with:<//>`;
  locate(error, error.operation ?? "");
  return html`<p class="trouble" role="alert"><b>${error.code}</b> ${error.message}${error.code == "RATE_LIMITED" && html`<${Left} until=${(error.until ??= untilOf(error))} />`}${error.details?.hint ? html` ${text(error.details.hint)}` : ""}${error.code == "FORBIDDEN" && html` <span class="muted">${error.operation}${error.resource ? ` on ${error.resource}` : ""}</span> <${Why} code=${error.code} operation=${error.operation} resource=${error.resource} />`}
    ${error.code == "INTERNAL_ERROR" && html` <button type="button" onClick=${() => copy(report(error))}>Copy report</button>`}</p>`;
}

/** Who may not list them says which. */
export function ByName({ path, what }) {
  const open = (event) => { event.preventDefault(); go([...path, event.target.elements.name.value]); };
  return html`<form class="bar" onSubmit=${open}><input name="name" required aria-label=${`Name of ${what}`} placeholder="name" /><button>Open</button></form>`;
}

export function Drawer({ title, onClose, children, wide }) {
  const box = useRef();
  const close = useRef();
  close.current = onClose;
  // At once: who types on meets it.
  useLayoutEffect(() => {
    const before = [];
    for (let node = document.activeElement; node && node != document.body; node = node.parentNode) before.push(node);
    const key = (event) => { if (event.key == "Escape" && !event.defaultPrevented && !document.querySelector("dialog[open]")) event.preventDefault(), close.current(); };
    box.current.focus();
    addEventListener("keydown", key);
    return () => {
      removeEventListener("keydown", key);
      // Who looks at something else meanwhile goes on.
      if (before.length && (document.activeElement == document.body || box.current?.contains(document.activeElement))) refocus(before);
    };
  }, []);
  return html`<aside class=${`drawer ${wide ? "wide" : ""}`} ref=${box} tabindex="-1" aria-label=${title}>
    <header><h2>${title}</h2><button type="button" aria-label="Close" onClick=${onClose}>✕</button></header>
    <div class="inside">${children}</div></aside>`;
}

/** Asks before something is destroyed; with `word`, after it was typed. */
export function Confirm({ title, children, word, yes, disabled, onYes, onClose }) {
  const [typed, set] = useState("");
  const box = useRef();
  useLayoutEffect(() => { box.current.showModal(); }, []);
  return html`<dialog ref=${box} aria-label=${title} onCancel=${onClose} onClose=${onClose}>
    <form method="dialog" onSubmit=${(event) => { event.preventDefault(); if ((!word || typed == word) && !disabled) onYes(), onClose(); }}>
      <h2>${title}</h2>${children}
      ${word && html`<label>Type <b>${word}</b><input value=${typed} onInput=${(event) => set(event.target.value)} /></label>`}
      <p class="bar"><button type="submit" class="danger" disabled=${disabled || (word && typed != word)}>${yes}</button><button type="button" onClick=${onClose}>Cancel</button></p>
    </form></dialog>`;
}

export function Tabs({ label, all, now, onPick }) {
  return html`<nav class="tabs" aria-label=${label}>${all.map(([id, name]) => html`<button key=${id} type="button" aria-current=${id == now ? "true" : undefined} onClick=${() => onPick(id)}>${name}</button>`)}</nav>`;
}

/**
 * A table of whatever there is, for lists that are not the data. `columns`:
 * `[title, row => cell, {right, mono, act}]`; the first two and those with
 * buttons (`act`) stay where it is narrow. The page holds 2,000 rows at most.
 */
const MOST_ROWS = 2000;
const looks = (o) => `${o.right ? "right" : ""} ${o.mono ? "mono" : ""} ${o.act ? "act" : ""}`;
export function Table({ label, columns, rows: all, keyOf, onOpen, selected, order, onOrder }) {
  const rows = all.length > MOST_ROWS ? all.slice(0, MOST_ROWS) : all;
  const [at, setAt] = useState(0);
  const move = (event) => {
    const row = event.currentTarget;
    const next = { ArrowDown: row.nextElementSibling, ArrowUp: row.previousElementSibling, Home: row.parentNode.firstElementChild, End: row.parentNode.lastElementChild }[event.key];
    if (event.target != row) return;
    if (next) next.focus(), event.preventDefault();
    else if (event.key == "Enter") onOpen(rows[row.dataset.at]);
  };
  return html`<div class="scroll" tabindex="0" role="region" aria-label=${label}><table>
    <thead><tr>${columns.map(([title, , o = {}]) => !title ? html`<td key="" class=${looks(o)}></td>` : html`<th key=${title} scope="col" class=${o.right ? "right" : ""} aria-sort=${order && o.by == order ? "descending" : undefined}>
      ${o.by && onOrder ? html`<button type="button" class="plain" onClick=${() => onOrder(o.by)}>${title}${o.by == order ? " ↓" : ""}</button>` : title}</th>`)}</tr></thead>
    <tbody>${rows.map((row, i) => html`<tr key=${keyOf(row)} data-at=${i} tabindex=${onOpen ? (i == Math.min(at, rows.length - 1) ? 0 : -1) : undefined} onFocus=${onOpen && (() => setAt(i))} class=${keyOf(row) === selected ? "selected" : ""}
        aria-current=${keyOf(row) === selected ? "true" : undefined} onKeyDown=${onOpen && move}
        onClick=${onOpen && ((event) => { if (!event.target.closest("button,a,input")) onOpen(row); })}>
      ${columns.map(([title, cell, o = {}]) => html`<td key=${title} class=${looks(o)}>${cell(row)}</td>`)}</tr>`)}</tbody></table>${all.length > MOST_ROWS && html`<p class="muted">The first ${count(MOST_ROWS)} of ${count(all.length)}</p>`}</div>`;
}

/** JSON that is looked at while it is typed. Undo and input methods are the browser's. */
export function Editor({ label, value, onInput, rows = 10, issues = [], onRun }) {
  const back = useRef();
  const marks = useMemo(() => highlight(value), [value]);
  return html`<div class="editor"><div class="stack"><pre ref=${back} aria-hidden="true">${marks}${"\n"}</pre>
    <textarea aria-label=${label} spellcheck=${false} autocapitalize="off" rows=${rows} value=${value} aria-invalid=${issues.length ? "true" : undefined}
      onInput=${(event) => onInput(event.target.value)}
      onScroll=${(event) => { back.current.scrollTop = event.target.scrollTop; back.current.scrollLeft = event.target.scrollLeft; }}
      onKeyDown=${(event) => { if (event.key == "Enter" && (event.ctrlKey || event.metaKey) && onRun) event.preventDefault(), onRun(); }}></textarea></div>
    ${issues.length > 0 && html`<ul class="issues" role="alert">${issues.map((one) => html`<li>${one}</li>`)}</ul>`}</div>`;
}
function highlight(source) {
  const out = [];
  let last = 0;
  for (const found of source.matchAll(/("(?:[^"\\]|\\.)*")(\s*:)?|\b(true|false|null)\b|-?\b\d+(?:\.\d+)?(?:[eE][+-]?\d+)?\b/g)) {
    out.push(source.slice(last, found.index));
    const kind = found[2] ? "k" : found[1] ? "s" : found[3] ? "w" : "n";
    const whole = found[1] ?? found[0];
    out.push(html`<span class=${`j-${kind}`}>${whole}</span>`, found[2] ?? "");
    last = found.index + found[0].length;
  }
  out.push(source.slice(last));
  return out;
}
export const pretty = (value) => JSON.stringify(value, null, 2);
/** The value, or what is wrong with the text. */
export function parse(source) {
  try {
    return { value: JSON.parse(source) };
  } catch (error) {
    const at = /position (\d+)/.exec(error.message);
    const line = at ? source.slice(0, +at[1]).split("\n").length : null;
    return { issue: `${line ? `line ${line}: ` : ""}${error.message.replace(/ in JSON.*/, "")}` };
  }
}
const MOST_CHARS = 200000;
export function Json({ value }) {
  const source = pretty(value) ?? "undefined";
  return html`<pre class="json" tabindex="0">${highlight(source.slice(0, MOST_CHARS))}${source.length > MOST_CHARS && html`<button type="button" onClick=${() => copy(source)}>… ${bytes(source.length)} in all: copy</button>`}</pre>`;
}

const SVG_LINE = 900;
/** Points of the last quarter of an hour that this page saw. */
export function useSeries(value, at) {
  const kept = useRef([]);
  const last = kept.current.at(-1);
  if (value != null && at && last?.[0] !== at) kept.current = [...kept.current.slice(1 - SVG_LINE).filter(([then]) => then > at - 900000), [at, value]];
  return kept.current;
}
export function Chart({ label, points, format = count }) {
  const [w, tall] = [120, 28];
  const max = Math.max(1e-9, ...points.map(([, v]) => v));
  const [from, to] = [points[0]?.[0] ?? 0, points.at(-1)?.[0] ?? 1];
  const line = points.map(([at, v]) => `${(((at - from) / Math.max(1, to - from)) * w).toFixed(1)},${(tall - 1 - (v / max) * (tall - 3)).toFixed(1)}`).join(" ");
  return html`<svg class="chart" viewBox=${`0 0 ${w} ${tall}`} preserveAspectRatio="none" role="img" aria-label=${`${label}: now ${format(points.at(-1)?.[1])}, most ${format(points.length ? max : null)}`}>
    ${points.length > 1 && html`<polyline points=${line} vector-effect="non-scaling-stroke" />`}</svg>`;
}

/** A word beside a sign: state is never colour alone. */
export const State = ({ kind, children }) => html`<span class=${`state ${kind}`}><span aria-hidden="true">${{ good: "●", warn: "▲", bad: "■", off: "○" }[kind]}</span> ${children}</span>`;
