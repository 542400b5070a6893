// People: users, roles, access lists, sessions, and why somebody may or may not.
import {
  Ago, Code, Confirm, Do, Drawer, Editor, Empty, Id, Json, State, Table, Tabs, Trouble, act, app, ask, change, count, dial, endActing, fail, go, html, note, parse, pretty, seems, text, token, useApp, useEffect, usePoll, useState,
} from "../ui.js";

const PAGE = 50;
const newPassword = () => Array.from(crypto.getRandomValues(new Uint8Array(15)), (byte) => "abcdefghjkmnpqrstuvwxyzABCDEFGHJKMNPQRSTUVWXYZ23456789"[byte % 54]).join("");

function User({ user, roles, again, onClose }) {
  const { locked, status } = useApp();
  const mine = usePoll(() => ask("identity.getUserRoles", { userId: user.id }), 5000, [user.id]);
  const [shown, show] = useState(null);
  const [sure, sureOf] = useState(null);
  const has = (mine.data?.roles ?? []).map((role) => role.name ?? role);
  const change = async (...args) => { await act(...args); mine.again(); again(); };
  const reset = async () => {
    const password = newPassword();
    if (await act("identity.resetPassword", { userId: user.id, newPassword: password }, "The password is another one, and the sessions ended")) show(password);
  };
  return html`<${Drawer} title=${user.username} onClose=${onClose}><dl class="keys"><dt>id</dt><dd class="mono"><${Id} id=${user.id} /></dd><dt>name</dt><dd>${user.displayName ?? "–"}</dd><dt>mail</dt><dd>${user.email ?? "–"}</dd><dt>made</dt><dd><${Ago} at=${user._createdAt} /></dd></dl>
    <h2>Roles</h2><div class="chips">${has.map((name) => html`<span class="chip" key=${name}>${name}<${Do} change aria-label=${`Take ${name} away`} onClick=${() => change("identity.removeRole", { userId: user.id, roleName: name }, `${user.username} is no ${name} any more`)}>✕<//></span>`)}
      <select aria-label="Give a role" value="" disabled=${locked || status != "online"} title=${locked ? "unlock to change" : undefined} onChange=${(event) => change("identity.assignRole", { userId: user.id, roleName: event.target.value }, `${user.username} is ${event.target.value}`)}><option value="">+ role</option>${roles.filter((role) => !has.includes(role.name)).map((role) => html`<option>${role.name}</option>`)}</select></div>
    ${shown && html`<p>The new password, shown once:</p><${Code}>${shown}<//>`}
    <p class="bar"><${Do} change onClick=${() => change(user.enabled ? "identity.disableUser" : "identity.enableUser", { userId: user.id }, `${user.username} is ${user.enabled ? "disabled" : "enabled"}`)}>${user.enabled ? "Disable" : "Enable"}<//><${Do} change onClick=${reset}>Reset password<//><${Do} change onClick=${() => act("server.revokeSessions", { userId: user.id }, "The sessions ended")}>Revoke sessions<//></p>
    <p class="bar"><button type="button" onClick=${() => go(["people", "may"], { user: user.id })}>May ${user.username}…?</button>${app.ops?.["auth.impersonate"] && html`<${ActAs} userId=${user.id} name=${user.username} />`}<span class="grow"></span><${Do} change danger onClick=${() => sureOf(true)}>Delete…<//></p>
    ${sure && html`<${Confirm} title=${`Delete ${user.username}`} word=${user.username} yes="Delete" onClose=${() => sureOf(null)} onYes=${async () => { if (await act("identity.deleteUser", { userId: user.id }, `${user.username} is gone`)) again(), onClose(); }}><p>User <b>${user.username}</b>, the roles and the sessions are destroyed.</p><//>`}<//>`;
}

/** A second connection, bound to somebody else. */
function ActAs({ userId, name }) {
  const [mayWrite, set] = useState(false);
  const start = async () => {
    endActing();
    const db = dial({ tokenStore: { ...token, set() {}, delete() {} } });
    try {
      await db.ready;
      const answer = await ask("auth.impersonate", { userId, readOnly: !mayWrite }, { db });
      change({ acting: { db, id: userId, userId: name, roles: answer.roles, until: answer.until } });
      // One that came back, or whose time is over, would be whoever logged in here.
      const over = () => { if (app.acting?.db == db) endActing(), note("bad", `You no longer act as ${name}`); };
      db.on("status", over);
      setTimeout(over, new Date(answer.until) - Date.now());
    } catch (error) {
      db.close();
      fail(error, "auth.impersonate");
    }
  };
  return html`<${Do} change onClick=${start}>Act as ${name}<//><label class="check"><input type="checkbox" checked=${mayWrite} onChange=${(event) => set(event.target.checked)} />with writes</label>`;
}

function Create({ again, onClose }) {
  const save = async (event) => {
    event.preventDefault();
    const form = new FormData(event.target);
    const fields = Object.fromEntries([...form].filter(([, value]) => value !== ""));
    if (await act("identity.createUser", fields, `${fields.username} can log in`)) again(), onClose();
  };
  return html`<${Drawer} title="New user" onClose=${onClose}><form class="inside" onSubmit=${save}><label>User<input name="username" required autocomplete="off" /></label><label>Password<input name="password" type="password" required autocomplete="new-password" /></label><label>Name<input name="displayName" /></label><label>Mail<input name="email" type="email" /></label><p class="bar"><${Do} change primary type="submit">Create<//></p></form><//>`;
}

function Users() {
  const [page, turn] = useState(1);
  const id = useApp().route[2];
  const open = (next) => go(["people", "users", ...(next ? [next] : [])]);
  const [isNew, setNew] = useState(false);
  const { data, error, again } = usePoll(() => ask("identity.listUsers", { page, pageSize: PAGE }), 5000, [page]);
  const given = usePoll(async () => Object.fromEntries(await Promise.all((data?.users ?? []).map(async (one) => [one.id, (await ask("identity.getUserRoles", { userId: one.id })).roles.map((role) => role.name).join(", ")]))), 30000, [data?.users.map((one) => one.id).join()]);
  const there = usePoll(() => ask("server.connections"), 5000);
  const sessions = (one) => (there.data ?? []).filter((connection) => connection.userId == one.id).length;
  const roles = usePoll(() => ask("identity.listRoles"), 30000);
  const rows = data?.users ?? [];
  const user = rows.find((one) => one.id == id);
  return html`<div class="bar"><${Do} change primary onClick=${() => setNew(true)}>New user<//><span class="grow"></span><span class="muted">${count(data?.total)} users</span><button type="button" disabled=${page == 1} onClick=${() => turn(page - 1)}>Previous</button><button type="button" disabled=${!data || page * PAGE >= data.total} onClick=${() => turn(page + 1)}>Next</button></div><${Trouble} error=${error} family="identity" />
    <div class="split"><div class="main">${rows.length ? html`<${Table} label="Users" rows=${rows} keyOf=${(row) => row.id} selected=${id} onOpen=${(row) => { setNew(false); open(row.id); }} columns=${[["user", (row) => row.username], ["roles", (row) => given.data?.[row.id] ?? ""], ["state", (row) => html`<${State} kind=${row.enabled ? "good" : "off"}>${row.enabled ? "enabled" : "disabled"}<//>`], ["sessions", (row) => count(sessions(row)), { right: true }], ["name", (row) => row.displayName ?? ""], ["mail", (row) => row.email ?? ""], ["made", (row) => html`<${Ago} at=${row._createdAt} />`]]} />` : data && html`<${Empty} action=${html`<${Do} change onClick=${() => setNew(true)}>Create one<//>`} snippet=${`await db.identity.createUser({ username: "mira", password });`}>No user yet.<//>`}</div>
    ${isNew ? html`<${Create} again=${again} onClose=${() => setNew(false)} />` : user && html`<${User} key=${id} user=${user} roles=${roles.data?.roles ?? []} again=${() => { again(); given.again(); }} onClose=${() => open(null)} />`}</div>`;
}

const isMatch = (pattern, operation) => pattern == "*" || (/\.\*$/.test(pattern) ? operation.startsWith(pattern.slice(0, -1)) : pattern == operation);
const areTexts = (list) => Array.isArray(list) && list.every((one) => typeof one == "string");
/** Patterns of a role that an operation meets, and to what of it each is limited; what is malformed allows nothing. */
export function matching(permissions, operation) {
  const limit = /^store\.|^logic\.(?!list|evaluate)/.test(operation) ? "buckets" : /^rules\./.test(operation) ? "topics" : "";
  return (Array.isArray(permissions) ? permissions : []).flatMap((one) => {
    const allow = [one?.allow].flat();
    if (!areTexts(allow) || !Object.entries(one).every(([name, value]) => name == "allow" || (/^(buckets|topics)$/.test(name) && areTexts(value)))) return [];
    const pattern = allow.find((each) => isMatch(each, operation));
    return pattern === undefined ? [] : [`${pattern}${one[limit] ? ` on ${limit} ${one[limit].join(", ") || "none"}` : ""}`];
  });
}
const ForSuper = () => seems("super") || html`<span class="muted">Superadmin role required</span>`;
function Role({ role, again, onClose }) {
  const [name, setName] = useState(role.name ?? "");
  const [source, set] = useState(pretty(role.permissions ?? [{ allow: ["store.get", "store.find"] }]));
  const [tried, attempt] = useState("store.get");
  const [sure, sureOf] = useState(false);
  const { value, issue } = parse(source);
  const found = matching(value, tried);
  const save = async () => {
    const isDone = role.id ? await act("identity.updateRole", { roleId: role.id, permissions: value }, "The role is saved") : await act("identity.createRole", { name, permissions: value }, `Role ${name} is there`);
    if (isDone) again(), onClose();
  };
  return html`<${Drawer} title=${role.name ?? "New role"} onClose=${onClose}>${role.description && html`<p class="muted">${role.description}</p>`}${!role.id && html`<label>Name<input value=${name} onInput=${(event) => setName(event.target.value)} /></label>`}
    <${Editor} label="Permissions" rows=${8} value=${source} onInput=${set} issues=${issue ? [issue] : []} onRun=${() => issue || save()} />
    <label>Try an operation<input class="mono" list="operations" value=${tried} onInput=${(event) => attempt(event.target.value)} /></label><${Operations} /><p role="status">${found.length ? html`<${State} kind="good">${found.join("; ")}<//>` : html`<${State} kind="off">no pattern matches<//>`}</p>
    <p class="bar"><${Do} change primary disabled=${!!issue || (!role.id && !name)} onClick=${save}>Save<//><${ForSuper} /><span class="grow"></span>${role.id && !role.system && html`<${Do} change danger onClick=${() => sureOf(true)}>Delete…<//>`}</p>
    ${sure && html`<${Confirm} title=${`Delete ${role.name}`} word=${role.name} yes="Delete" onClose=${() => sureOf(false)} onYes=${async () => { if (await act("identity.deleteRole", { roleId: role.id }, `Role ${role.name} is gone`)) again(), onClose(); }}><p>Role <b>${role.name}</b> is taken from everybody who has it.</p><//>`}<//>`;
}

function Roles() {
  const [chosen, open] = useState(null);
  const { data, error, again } = usePoll(() => ask("identity.listRoles"), 5000);
  const rows = data?.roles ?? [];
  const role = chosen == "" ? {} : rows.find((one) => one.name == chosen);
  return html`<div class="bar"><${Do} change primary onClick=${() => open("")}>New role<//><${ForSuper} /></div><${Trouble} error=${error} family="identity" /><div class="split"><div class="main"><${Table} label="Roles" rows=${rows} keyOf=${(row) => row.name} selected=${chosen} onOpen=${(row) => open(row.name)} columns=${[["role", (row) => row.name], ["for", (row) => row.description ?? ""], ["permissions", (row) => count((row.permissions ?? []).length), { right: true }], ["", (row) => (row.system ? html`<span class="muted">built in</span>` : "")]]} /></div>${role && html`<${Role} key=${chosen} role=${role} again=${again} onClose=${() => open(null)} />`}</div>`;
}

function Lists() {
  const [what, set] = useState({ resourceType: "bucket", resourceName: "" });
  const { data, error, again } = usePoll(() => (what.resourceName ? ask("identity.getAcl", what) : Promise.resolve({ entries: [] })), 5000, [what]);
  const owner = usePoll(() => (what.resourceName ? ask("identity.getOwner", what).catch(() => null) : Promise.resolve(null)), 5000, [what]);
  const transfer = async (event) => { event.preventDefault(); if (await act("identity.transferOwner", { ...what, newOwnerId: new FormData(event.target).get("to") }, "It has another owner")) owner.again(), again(); };
  const grant = async (event) => {
    event.preventDefault();
    const form = new FormData(event.target);
    await act("identity.grant", { ...what, subjectType: form.get("subjectType"), subjectId: form.get("subjectId"), operations: ["read", "write", "admin"].filter((one) => form.get(one)) }, "Granted");
    again();
  };
  return html`<form class="bar end" onSubmit=${(event) => { event.preventDefault(); const form = new FormData(event.target); set({ resourceType: form.get("type"), resourceName: form.get("name") }); }}><label>Kind<select name="type">${["bucket", "topic", "procedure", "query"].map((one) => html`<option>${one}</option>`)}</select></label><label>Name<input name="name" required /></label><button>Show</button></form>
    <${Trouble} error=${error} family="identity" />${what.resourceName && html`<p class="muted">Owner: ${owner.data?.owner?.username ?? owner.data?.owner?.userId ?? "nobody"}</p>${data?.entries?.length ? html`<${Table} label="Entries" rows=${data.entries} keyOf=${(row) => `${row.subjectType}:${row.subjectId}`} columns=${[["who", (row) => `${row.subjectType} ${row.subjectName ?? row.subjectId}`, { mono: true }], ["may", (row) => (row.isOwner ? "all: the owner" : (row.operations ?? []).join(", "))], ["", (row) => !row.isOwner && html`<${Do} change danger onClick=${async () => { await act("identity.revoke", { ...what, subjectType: row.subjectType, subjectId: row.subjectId }, "Revoked"); again(); }}>Revoke<//>`, { act: true }]]} />` : html`<p class="muted">No entry: roles alone decide.</p>`}
    <form class="bar end" onSubmit=${grant}><label>To<select name="subjectType"><option>user</option><option>role</option></select></label><label>Id or role<input name="subjectId" required /></label>${["read", "write", "admin"].map((one) => html`<label class="check"><input type="checkbox" name=${one} />${one}</label>`)}<${Do} change type="submit">Grant<//></form><form class="bar end" onSubmit=${transfer}><label>New owner (id of a user)<input name="to" required /></label><${Do} change type="submit">Transfer<//></form>`}`;
}

function Sessions() {
  const { data, error, again } = usePoll(() => ask("server.connections"), 5000);
  return html`<${Trouble} error=${error} />${data && html`<${Table} label="Sessions" rows=${data} keyOf=${(row) => row.connectionId} columns=${[["connection", (row) => row.connectionId, { mono: true }], ["user", (row) => (row.userId ? html`<${Id} id=${row.userId} />` : html`<span class="muted">nobody</span>`)], ["roles", (row) => row.roles.join(", ")], ["address", (row) => row.remoteAddress, { mono: true }], ["since", (row) => html`<${Ago} at=${row.connectedAt} />`], ["subscriptions", (row) => count(row.storeSubscriptionCount + row.rulesSubscriptionCount), { right: true }], ["", (row) => row.userId && html`<${Do} change danger onClick=${async () => { await act("server.revokeSessions", { userId: row.userId }, `The sessions of ${row.userId} ended`); again(); }}>Revoke<//>`, { act: true }]]} />`}`;
}

/** Names of roles, as JSON or with commas between. */
const listOf = (source) => { const { value } = parse(source); return areTexts(value) ? value : source.split(",").map((one) => one.trim()).filter(Boolean); };
const said = ({ step, result, ...more }) => `${step}${Object.keys(more).length ? ` ${text(more)}` : ""}`;
const Operations = () => html`<datalist id="operations">${Object.keys(useApp().ops ?? {}).map((one) => html`<option value=${one} />`)}</datalist>`;
function May() {
  const { query } = useApp();
  const [answer, show] = useState(null);
  const [given, give] = useState({});
  const isExternal = app.config.auth == "external";
  const users = usePoll(() => (app.config.auth == "builtIn" ? ask("identity.listUsers", { pageSize: PAGE }) : Promise.resolve(null)), 30000);
  const now = { as: query.get("user") || !query.get("as") ? "userId" : query.get("as"), who: query.get("user") ?? "", roles: query.get("roles") ?? "", operation: query.get("operation") ?? "", resource: query.get("resource") ?? "", key: "", ...given };
  const field = (name) => ({ name, value: now[name], onInput: (event) => give({ ...given, [name]: event.target.value }) });
  const submit = async () => {
    const { as, who, roles, operation, resource, key } = now;
    const subject = as == "anonymous" ? { anonymous: true } : as == "roles" ? { roles: listOf(who) } : { userId: who, ...(isExternal && { roles: listOf(roles) }) };
    const { value, issue } = parse(key || "null");
    try { show({ data: await ask("access.explain", { operation, ...(resource && { resource }), ...(key && { key: issue ? key : value }), ...subject }) }); } catch (error) { show({ error }); }
  };
  // Asked from where something was refused.
  useEffect(() => { give({}); if (query.get("operation") && query.get("user") && app.status == "online") submit(); }, [query.toString()]);
  const { data, error } = answer ?? {};
  return html`<form class="bar end" onSubmit=${(event) => { event.preventDefault(); submit(); }}><label>May<select ...${field("as")}><option value="userId">user</option><option value="roles">roles</option><option value="anonymous">nobody</option></select></label>${now.as != "anonymous" && html`<label>${now.as == "roles" ? "Roles" : "User id"}<input class="mono" list=${now.as == "roles" ? undefined : "people"} ...${field("who")} /></label>`}${now.as == "userId" && isExternal && html`<label>with roles<input class="mono" placeholder="reader, …" ...${field("roles")} /></label>`}<datalist id="people">${(users.data?.users ?? []).map((one) => html`<option value=${one.id}>${one.username}</option>`)}</datalist><label>do<input class="mono" required list="operations" ...${field("operation")} /></label><${Operations} /><label>on<input ...${field("resource")} placeholder="bucket, …" /></label><label>record<input ...${field("key")} placeholder="any" /></label><button class="primary">Ask</button></form>
    <${Trouble} error=${error} />${!answer && html`<${Empty} snippet=${`{ "type": "access.explain", "operation": "store.update", "resource": "parts", "roles": ["reader"] }`}>Nothing is asked yet: the steps of the decision appear here.<//>`}${data && html`<section class="panel" role="status"><p>${data.allowed ? html`<${State} kind="good">Yes<//>` : html`<${State} kind="bad">No<//>`} <span class="muted">decided by ${data.decidedBy}</span> ${data.error && html`<span>${data.error.code}: ${data.error.message}</span>`}</p>
      <${Table} label="Steps" rows=${data.steps} keyOf=${(row) => said(row)} columns=${[["step", said, { mono: true }], ["result", (row) => html`<${State} kind=${{ allow: "good", deny: "bad" }[row.result] ?? "off"}>${row.result}<//>`]]} /></section>`}`;
}

/** Of users that are made here; of all others what the server knows of the login. */
function Own() {
  const isMade = app.config.auth == "builtIn" && app.user?.userId != "__superadmin__";
  const { data, error } = usePoll(() => (isMade ? ask("identity.myAccess") : ask("auth.whoami")), 30000);
  const save = async (event) => {
    event.preventDefault();
    const form = new FormData(event.target);
    if (await act("identity.changePassword", { userId: app.user?.userId, currentPassword: form.get("current"), newPassword: form.get("next") }, "The password is another one")) event.target.reset();
  };
  return html`<section class="panel"><h2>What you may do</h2><${Trouble} error=${error} />${data && html`<${Json} value=${data} />`}</section>${isMade && html`<section class="panel"><h2>Your password</h2><form class="bar end" onSubmit=${save}><label>Now<input name="current" type="password" autocomplete="current-password" required /></label><label>New<input name="next" type="password" autocomplete="new-password" required /></label><${Do} change type="submit">Change<//></form></section>`}`;
}

const PARTS = { users: Users, roles: Roles, lists: Lists, sessions: Sessions, may: May, own: Own };
export default function People() {
  const { route, config } = useApp();
  const builtIn = [["users", "Users"], ["roles", "Roles"], ["lists", "Access lists"]];
  const tabs = [...(config.auth == "builtIn" ? builtIn : []), ["sessions", "Sessions"], ["may", "May I?"], ...(config.auth == "open" ? [] : [["own", "You"]])];
  const part = tabs.some(([id]) => id == route[1]) ? route[1] : seems("admin", config.auth == "builtIn" ? "identity.listUsers" : "server.connections") ? tabs[0][0] : "own";
  return html`<div class="tab"><header><h1>People</h1></header>${config.auth == "open" && html`<section class="panel"><p>This server asks nobody who he is. Built-in users are switched on with:</p><${Code}>noexd --auth    # and NOEXD_ADMIN_SECRET<//></section>`}<${Tabs} label="Parts" all=${tabs} now=${part} onPick=${(id) => go(["people", id])} /><${PARTS[part]} /></div>`;
}
