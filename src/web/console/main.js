// The shell: connection, login, routes, lock, theme, keys, palette. A tab is
// imported when it is first opened and gets nothing but the page's state.
import { NoexdError } from "./noexd.js";
import {
  Left, Why, app, ask, change, copy, count, dial, endActing, fail, go, html, isTyping, readRoute, render, report, seems, span, token, undecided, unlock, unnote, untilOf, useApp, useEffect, useLayoutEffect, useRef, useState,
} from "./ui.js";

// Served in one file with it.
export * from "./ui.js";

/** With the tier that a label says, and the operation whose answer knows better. */
const TABS = [
  ["now", "Now", "n"], ["data", "Data", "d", "read", "store.buckets"], ["views", "Live views", "v", "admin", "server.views"], ["slow", "Who is slow", "w", "admin", "server.top"],
  ["rules", "Rules", "r", "read", "rules.stats"], ["logic", "Procedures & logic", "p"], ["people", "People", "u"], ["audit", "Audit", "a", "admin", "audit.query"],
  ["play", "Playground", "y"], ["backups", "Backups", "b", "admin", "store.backups"],
];

// Connection

async function start() {
  try {
    change({ config: await (await fetch("config.json")).json() });
  } catch {
    change({ status: "lost" });
    return setTimeout(start, 3000);
  }
  const { config } = app;
  const isLoopback = /^(localhost|.*\.localhost|127\..*|\[::1\])$/.test(location.hostname);
  change({ locked: config.readOnly || !(config.auth == "open" && isLoopback) });
  open();
}

/** As the server says it, with the name that was typed; what it let somebody else do is forgotten. */
function become(user, username = app.user?.userId == user?.userId ? app.user?.username : undefined) {
  if (app.user?.userId != user?.userId) undecided(), change({ behind: 0 });
  change({ user: user && { ...user, username } });
}
function open() {
  // A person's write never fires later by itself.
  const db = dial({ staleAfterMs: 1000, tokenStore: token });
  change({ db });
  const told = () => {
    const status = db.status == "online" ? "online" : db.status == "closed" ? "closed" : app.since ? "lost" : "connecting";
    if (status == "online") become(db.user), change({ status, since: Date.now(), wasUp: true }), measure();
    else if (app.status != status) change({ status, lostAt: Date.now() });
    if (status == "closed") leave(db.reason);
  };
  db.on("status", told);
  db.on("user", (user) => {
    if (app.user && !user && app.config.auth != "open") become(user), change({ reason: app.reason ?? "The session ended" });
    else become(user), measure();
  });
  db.ready.then(() => { told(); load(); }, () => {});
  told();
}
async function load() {
  if (app.ops) return;
  try { change({ ops: await (await fetch("ops.json")).json() }); } catch { setTimeout(load, 3000); }
}
/** Back to the login, with the reason; the address of the page stays. */
function leave(reason) {
  app.db.close();
  endActing();
  token.delete();
  become(null);
  change({ reason, status: "connecting", since: 0, locked: true });
  open();
}

/** What the shell itself shows; what this user may not ask for is left out. */
function measure() {
  const { db, status, user, config, frozen } = app;
  if (document.visibilityState != "visible" || status != "online") return;
  const at = performance.now();
  db.request("session.sync").then(({ commit }) => change({ commit }), () => {}).then(() => change({ ping: Math.round(performance.now() - at) }));
  if (config.auth != "open" && !user) return;
  if (app.name == null) db.request("store.stats").then(({ name }) => change({ name: name == "noex-server" ? "" : name }), () => change({ name: "" }));
  if (seems("admin", "server.top") && !frozen) ask("server.top", { limit: 1 }).then(({ slow }) => change({ behind: slow }), () => change({ behind: 0 }));
}
setInterval(measure, 5000);

// Login

function Login() {
  const { config, reason } = useApp();
  const [way, setWay] = useState(config.auth == "external" ? "token" : "user");
  const [error, setError] = useState(null);
  const [busy, setBusy] = useState(false);
  const first = useRef();
  useEffect(() => first.current?.focus(), [way]);
  const submit = async (event) => {
    event.preventDefault();
    const form = new FormData(event.target);
    const given = way == "token" ? { token: form.get("token").trim() } : way == "secret" ? { secret: form.get("password") } : { username: form.get("username"), password: form.get("password") };
    setBusy(true);
    setError(null);
    try {
      const user = await app.db.login(given);
      // What somebody looks at again and again is recorded as that: a login ends what was opened before.
      await app.db.request("session.open", { commits: true, events: true });
      become(user, given.username);
      change({ reason: null });
    } catch (why) {
      setError(Object.assign(why, { until: untilOf(why) }));
    }
    setBusy(false);
  };
  return html`<main class="login"><form onSubmit=${submit}>
    <h1>noexd</h1>
    ${reason && html`<p class="muted">${reason}</p>`}
    ${config.auth == "external" ? html`<label>Token<textarea ref=${first} name="token" rows="4" required spellcheck=${false} autocomplete="off" aria-invalid=${error ? "true" : undefined} aria-describedby="why"></textarea></label>`
      : html`${way == "user" && html`<label>User<input ref=${first} name="username" autocomplete="username" required /></label>`}
      <label>${way == "secret" ? "Admin secret" : "Password"}<input ref=${way == "secret" ? first : null} name="password" type="password" autocomplete="current-password" required aria-invalid=${error ? "true" : undefined} aria-describedby="why" /></label>`}
    <p id="why" class="bad" role="alert">${error && html`${error.message}<${Left} until=${error.until} />`}</p>
    <p class="bar"><button class="primary" disabled=${busy}>Log in</button>
    ${config.auth == "builtIn" && html`<button type="button" class="plain" onClick=${() => setWay(way == "user" ? "secret" : "user")}>${way == "user" ? "Use the admin secret" : "Use a password"}</button>`}</p>
    <p class="muted small">The token stays in this page's memory: a reload asks again.</p>
  </form></main>`;
}

// Shell

function Connection() {
  const { status, ping, lostAt, commit } = useApp();
  const [, tick] = useState(0);
  useEffect(() => {
    if (status == "online") return;
    const timer = setInterval(() => tick((n) => n + 1), 1000);
    return () => clearInterval(timer);
  }, [status]);
  if (status == "online") return html`<span class="state good" role="status"><span aria-hidden="true">●</span> live${ping != null && html` <span class="muted">${ping} ms${commit != null && html`<span class="wide"> · commit ${count(commit)}</span>`}</span>`}</span>`;
  return html`<span class="state warn" role="status"><span aria-hidden="true">▲</span> ${status == "lost" ? `away ${span(Date.now() - (lostAt ?? Date.now()))}` : "connecting"}</span>`;
}

function Lock() {
  const { locked, config } = useApp();
  if (!locked) return html`<button type="button" onClick=${() => change({ locked: true })} title="Lock: no request that changes something leaves this page">unlocked</button>`;
  return html`<button type="button" class="lock" disabled=${config.readOnly} onClick=${unlock} title=${config.readOnly ? "This console is read-only" : "Unlock until the page is loaded again"}>locked</button>`;
}

const themes = { system: "System theme", light: "Light", dark: "Dark" };
const setting = (name) => { try { return localStorage.getItem(`noexd-console:${name}`); } catch { return null; } };
function keep(name, value) {
  try { localStorage.setItem(`noexd-console:${name}`, value); } catch { /* without storage it holds until the reload */ }
  document.documentElement.dataset[name] = value;
  change({ density: document.documentElement.dataset.density });
}
for (const name of ["theme", "density"]) if (setting(name)) document.documentElement.dataset[name] = setting(name);

function UserMenu() {
  const { user, config } = useApp();
  const [, again] = useState(0);
  const theme = document.documentElement.dataset.theme ?? "system";
  const density = document.documentElement.dataset.density ?? "dense";
  return html`<details class="menu" onKeyDown=${(event) => { if (event.key == "Escape") event.currentTarget.open = false, event.currentTarget.firstChild.focus(), event.preventDefault(); }}>
    <summary title=${user?.userId}>${user?.username ?? user?.userId ?? (config.auth == "open" ? "open" : "nobody")} <span aria-hidden="true">▾</span></summary>
    <div><p class="muted small">${config.auth == "open" ? "No login: everybody may do everything" : (user?.roles ?? []).join(", ") || "no roles"}</p>
    <label>Theme<select value=${theme} onChange=${(event) => { keep("theme", event.target.value); again((n) => n + 1); }}>${Object.entries(themes).map(([id, name]) => html`<option value=${id}>${name}</option>`)}</select></label>
    <label>Rows<select value=${density} onChange=${(event) => { keep("density", event.target.value); again((n) => n + 1); }}><option value="dense">Dense</option><option value="comfortable">Comfortable</option></select></label>
    <label class="check"><input type="checkbox" checked=${document.documentElement.dataset.keys != "off"} onChange=${(event) => { document.documentElement.dataset.keys = event.target.checked ? "on" : "off"; again((n) => n + 1); }} /> Single-letter keys</label>
    <button type="button" onClick=${() => change({ help: true })}>Keys and help</button>
    ${config.auth != "open" && html`<button type="button" onClick=${async () => { await app.db.logout(); become(null); change({ reason: "You logged out", locked: true }); }}>Log out</button>`}</div></details>`;
}

function Notes() {
  const { notes } = useApp();
  return html`<div class="notes" aria-live="polite">${notes.map((one) => html`<div key=${one.id} class=${`note ${one.kind}`} role=${one.kind == "bad" ? "alert" : "status"}>
    <span>${one.text}<${Left} until=${one.until} />${one.times > 1 ? html` <b>×${one.times}</b>` : ""}${one.operation && html` <span class="muted small">${one.operation}${one.resource ? ` on ${one.resource}` : ""}</span>`}</span>
    ${one.undo && html`<button type="button" onClick=${() => { unnote(one.id); one.undo(); }}>Undo</button>`}
    ${one.code == "INTERNAL_ERROR" && html`<button type="button" onClick=${() => copy(report(one))}>Copy report</button>`}<${Why} ...${one} />
    <button type="button" class="plain" aria-label="Dismiss" onClick=${() => unnote(one.id)}>✕</button></div>`)}</div>`;
}

const KEYS = [
  ["Ctrl K", "palette: tabs, buckets, queries, rules, users, operations"], ["g then n d v w r p u a y b", "tabs, in their order"], ["/", "filter"], [".", "freeze live updates"],
  ["?", "this help"], ["Esc", "close the drawer, then the selection"], ["Ctrl Enter", "run, save"], ["Ctrl `", "Playground over any tab"], ["arrows, Home, End, PgUp, PgDn", "move in grids; with Shift: select"], ["Enter, F2", "open, edit"], ["Ctrl C", "copy the selected cells"],
  ["n · o · Del", "Data: new record, follow reference, delete"], ["t · x", "Who is slow: trace, disconnect"], ["Space · t", "Rules: on or off, trace"], ["t", "Audit: tail"], ["Ctrl Space · Alt ↑ ↓", "Playground: complete, history"],
];
function Dialog({ label, onClose, children, class: name }) {
  const box = useRef();
  // At once: who types on types into it.
  useLayoutEffect(() => { box.current.showModal(); }, []);
  return html`<dialog ref=${box} class=${name} aria-label=${label} onClose=${onClose} onClick=${(event) => event.target == box.current && box.current.close()}>${children}</dialog>`;
}
function Help() {
  const [licences, set] = useState(null);
  return html`<${Dialog} label="Keys and help" onClose=${() => change({ help: false })}>
    <h2>Keys</h2><dl class="keys">${KEYS.map(([key, what]) => html`<dt><kbd>${key}</kbd></dt><dd>${what}</dd>`)}</dl>
    <h2>The lock</h2><p>Locked, this page sends nothing that changes something. It protects from slips, not from people: rights do that.</p>
    <h2>Libraries</h2>${licences ? html`<pre class="json" tabindex="0">${licences}</pre>` : html`<p><button type="button" onClick=${async () => set(await (await fetch("LICENSES.txt")).text())}>Show licences</button></p>`}
    <form method="dialog" class="bar"><button>Close</button></form><//>`;
}

/** What may be listed, and where it leads. */
const LISTS = {
  "store.listQueries": ({ queries }) => queries.map(({ name }) => ["query", name, () => go(["views", name])]),
  "rules.getRules": ({ rules }) => rules.map(({ id, name }) => ["rule", `${id} ${name}`, () => go(["rules", "rules", id])]),
  "procedures.list": ({ procedures }) => procedures.map(({ name }) => ["procedure", name, () => go(["logic", "procedures", name])]),
  "identity.listUsers": ({ users }) => users.map(({ id, username }) => ["user", username, () => go(["people", "users", id])]),
};
function Palette() {
  const [typed, set] = useState("");
  const [at, move] = useState(0);
  const [names, load] = useState({ buckets: [], more: [] });
  useEffect(() => {
    ask("store.buckets").then((answer) => load((old) => ({ ...old, buckets: answer.names })), () => {});
    for (const [type, take] of Object.entries(LISTS)) if (seems("admin", type)) ask(type).then((answer) => load((old) => ({ ...old, more: [...old.more, ...take(answer)] })), () => {});
  }, []);
  const close = () => change({ palette: false });
  const all = [
    ...TABS.map(([id, name]) => ["tab", name, () => go([id])]),
    ...names.buckets.map((name) => ["bucket", name, () => go(["data", name])]),
    ...names.more,
    ...Object.keys(app.ops ?? {}).map((name) => ["operation", name, () => go(["play"], { operation: name })]),
  ];
  const words = typed.toLowerCase().split(/\s+/);
  const found = all.filter(([kind, name]) => words.every((word) => `${kind} ${name}`.toLowerCase().includes(word))).slice(0, 12);
  const pick = (one) => { close(); one?.[2](); };
  const key = (event) => {
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (step) move((at + step + found.length) % Math.max(1, found.length)), event.preventDefault();
    if (event.key == "Enter") event.preventDefault(), pick(found[at]);
  };
  return html`<${Dialog} label="Palette" class="palette" onClose=${close}>
    <input autofocus role="combobox" aria-expanded="true" aria-controls="found" aria-activedescendant=${found[at] ? `found-${at}` : undefined} aria-label="Go to" placeholder="Tab, bucket, query, rule, user, operation" value=${typed} onInput=${(event) => { set(event.target.value); move(0); }} onKeyDown=${key} />
    <ul id="found" role="listbox" aria-label="Found">${found.map((one, i) => html`<li id=${`found-${i}`} role="option" aria-selected=${i == at ? "true" : "false"} onClick=${() => pick(one)}>${one[1]} <span class="muted">${one[0]}</span></li>`)}</ul><//>`;
}

const loaded = new Map();
function Tab({ id }) {
  const [, again] = useState(0);
  const tab = loaded.get(id);
  useEffect(() => {
    if (tab) return;
    (id == "now" ? import("./tabs/now.js") : import("./tabs/more.js")).then((module) => loaded.set(id, module[id] ?? module.default), (error) => loaded.set(id, () => html`<p class="trouble">${error.message}</p>`)).then(() => again((n) => n + 1));
  }, [id]);
  return tab ? html`<${tab} key=${id} />` : html`<div class="skeleton" aria-busy="true"></div>`;
}

function Strip() {
  const { status, lostAt, frozen, wasUp, pressure } = useApp();
  if (pressure) return html`<p class="strip bad" role="alert">BACKPRESSURE: ${pressure} <button type="button" onClick=${() => change({ pressure: null })}>Dismiss</button></p>`;
  if (status != "online" && wasUp) return html`<p class="strip" role="status">as of ${new Date(lostAt ?? Date.now()).toLocaleTimeString("en-GB")}: not connected, trying again</p>`;
  if (status != "online") return html`<p class="strip" role="status">Cannot connect yet. If <code>allowedOrigins</code> is set, it must contain ${location.origin}</p>`;
  if (frozen) return html`<p class="strip" role="status">Live updates are frozen <button type="button" onClick=${() => change({ frozen: false })}>Go on</button></p>`;
  return null;
}

const Closed = () => html`<svg viewBox="0 0 10 12" aria-hidden="true"><path d="M2.5 5V3.5a2.5 2.5 0 0 1 5 0V5M1 5h8v6H1z" /></svg>`;

function Shell() {
  const { route, status, config, user, wasUp, help, palette, acting, over, name: called, behind } = useApp();
  const [menu, setMenu] = useState(false);
  if (!config.auth || (status == "connecting" && !wasUp && !app.slow)) return html`<div class="skeleton" aria-busy="true"></div>`;
  if (config.auth != "open" && !user && status == "online") return html`<${Login} />`;
  const id = TABS.some(([one]) => one == route[0]) ? route[0] : "now";
  const [, title] = TABS.find(([one]) => one == id);
  document.title = `${title} · ${called || "noexd"}`;
  return html`<div class=${`shell ${acting ? "acting" : ""}`}>
    <header class="top"><button type="button" class="burger" aria-expanded=${menu ? "true" : "false"} aria-label="Menu" onClick=${() => setMenu(!menu)}>☰</button>
      <b class="name">noexd</b>${called && html`<span class="called" title="name of this server">${called}</span>`}<${Connection} /><span class="grow"></span><${Lock} />
      ${acting && html`<${Acting} ...${acting} />`}
      <${UserMenu} /><button type="button" class="find" onClick=${() => change({ palette: true })} aria-label="Ctrl K: palette"><kbd>Ctrl K</kbd></button></header>
    <nav class=${`rail ${menu ? "open" : ""}`} aria-label="Tabs">${TABS.map(([one, name, key, needs, operation]) => { const isOpen = !needs || seems(needs, operation); return html`<a key=${one} href=${`#/${one}`} aria-current=${one == id ? "page" : undefined} onClick=${() => setMenu(false)} title=${isOpen ? `g ${key}` : `needs ${needs}`}>${name}${!isOpen && html` <span class="muted small"><${Closed} /> needs ${needs}</span>`}${one == "slow" && behind > 0 && html` <span class="state warn" title=${`${behind} behind`}><span aria-hidden="true">▲</span> ${count(behind)}</span>`}</a>`; })}</nav>
    <main id="tab" tabindex="-1"><${Strip} /><${Tab} id=${id} key=${`${id} ${acting?.userId ?? ""}`} /></main>
    ${over && id != "play" && html`<section class="over" aria-label="Playground"><${Tab} id="play" /></section>`}
    <${Notes} />${help && html`<${Help} />`}${palette && html`<${Palette} />`}</div>`;
}
/** Who this page is meanwhile, and for how long. */
function Acting({ userId, until }) {
  const [, tick] = useState(0);
  useEffect(() => {
    const timer = setInterval(() => tick((n) => n + 1), 1000);
    return () => clearInterval(timer);
  }, []);
  return html`<span class="state warn">acting as ${userId} · ${span(Math.max(0, new Date(until) - Date.now()))} <button type="button" onClick=${endActing}>End</button></span>`;
}

// Keys

let wasG = 0;
addEventListener("keydown", (event) => {
  const ctrl = event.ctrlKey || event.metaKey;
  if (ctrl && event.key.toLowerCase() == "k") return event.preventDefault(), change({ palette: !app.palette });
  if (ctrl && event.key == "`") return event.preventDefault(), change({ over: !app.over });
  if (isTyping(event)) return;
  if (wasG && Date.now() - wasG < 1500) {
    wasG = 0;
    const tab = TABS.find(([, , key]) => key == event.key);
    if (tab) return event.preventDefault(), go([tab[0]]);
  }
  if (event.key == "g") wasG = Date.now(), event.preventDefault();
  if (event.key == "?") change({ help: true });
  if (event.key == ".") change({ frozen: !app.frozen });
  if (event.key == "/") {
    const field = document.querySelector("[data-filter]");
    if (field) event.preventDefault(), field.focus();
  }
});
addEventListener("hashchange", readRoute);
addEventListener("unhandledrejection", (event) => {
  if (event.reason instanceof NoexdError) event.preventDefault(), fail(event.reason);
});
readRoute();
setTimeout(() => change({ slow: true }), 3000);
render(html`<${Shell} />`, document.getElementById("app"));
start();
