// Rules, facts, timers and events as they are; what a rule did and why not.
import {
  Ago, Confirm, Do, Drawer, Editor, Empty, State, Table, Tabs, Trouble, act, app, ask, clock, count, go, html, parse, plural, pretty, isOff, rowAt, seems, text, useApp, useEffect, useKeys, usePoll, useRef, useState,
} from "../ui.js";
import { Trace } from "./slow.js";

const MOST_EVENTS = 500;
const SAMPLE = { id: "hot", name: "Hot sensor", priority: 50, enabled: true, trigger: { type: "event", topic: "sensor.reading" }, conditions: [{ source: { type: "event", field: "celsius" }, operator: "gt", value: 70 }], actions: [{ type: "set_fact", key: "alarm", value: true }] };

/** The line of a JSON text on which a path such as `conditions[0].source` begins, or as much of it as is there. */
export function lineOf(source, path) {
  const wanted = path.match(/[^.[\]]+/g) ?? [];
  const at = [];
  let [line, most, found] = [1, 0, 1];
  const look = () => {
    if (at.length > most && at.length <= wanted.length && at.every((part, i) => String(part) == wanted[i])) [most, found] = [at.length, line];
  };
  for (const [token, string, colon] of source.matchAll(/("(?:[^"\\]|\\.)*")(\s*:)?|[{}[\],\n]/g)) {
    if (token == "\n") line++;
    else if (token == "{" || token == "[") look(), at.push(token == "{" ? null : 0);
    else if (token == "}" || token == "]") at.pop();
    else if (token == ",") { if (typeof at.at(-1) == "number") at[at.length - 1]++; }
    else if (colon) at[at.length - 1] = string.slice(1, -1), look();
  }
  return found;
}

/** Validated while it is typed. */
function Edit({ rule, isNew, again, onClose }) {
  const [source, set] = useState(pretty(rule));
  const [issues, setIssues] = useState([]);
  const { value, issue } = parse(source);
  useEffect(() => {
    if (issue) return setIssues([issue]);
    const timer = setTimeout(() => ask("rules.validateRule", { rule: value }).then((answer) => setIssues(answer.errors.map((one) => `line ${lineOf(source, one.path)}, ${one.path}: ${one.message}`)), (error) => setIssues([error.message])), 300);
    return () => clearTimeout(timer);
  }, [source]);
  const [newer, sureOf] = useState(null);
  const save = async (isSure) => {
    if (issue) return;
    const now = isNew || isSure ? null : await ask("rules.getRule", { ruleId: rule.id }).catch(() => null);
    if (now && now.version != rule.version) return sureOf(now.version);
    const { version, createdAt, updatedAt, ...rest } = value;
    if (await act(isNew ? "rules.registerRule" : "rules.updateRule", isNew ? { rule: rest } : { ruleId: rule.id, updates: rest }, "The rule is saved")) again(), onClose?.();
  };
  return html`<${Editor} label="Rule" rows=${18} value=${source} onInput=${set} issues=${issues} onRun=${() => issues.length || save()} /><p class="bar"><${Do} change primary disabled=${issues.length > 0} onClick=${() => save()}>Save<//></p>
    ${newer && html`<${Confirm} title=${`${rule.id} is another one now`} yes="Overwrite" onClose=${() => sureOf(null)} onYes=${() => save(true)}><p>Somebody changed <b>${rule.id}</b> since it was opened here: version ${newer}, opened was ${rule.version}. Saving destroys that change.</p><//>`}`;
}

const told = (entry) => entry.kind == "evaluated" ? html`${entry.trigger?.name} <b>${entry.outcome}</b> ${entry.condition ? `stopped at ${entry.condition.index + 1}: ${text(entry.condition.source?.field ?? entry.condition.source)} is ${text(entry.condition.actual)}, ${entry.condition.operator} ${text(entry.condition.wanted)}` : ""}${(entry.actions ?? []).map((one) => (one.ok ? "" : ` ${one.type}: ${one.error}`))}` : text(entry);

function Rule({ id, again, onClose, isTraced, trace }) {
  const { data, error } = usePoll(() => ask("rules.getRule", { ruleId: id }), 30000, [id]);
  const [sure, sureOf] = useState(false);
  return html`<${Drawer} title=${id} wide onClose=${onClose}><${Trouble} error=${error} />${data && html`
    <p class="bar"><button type="button" aria-pressed=${isTraced ? "true" : "false"} onClick=${() => trace(!isTraced)}>${isTraced ? "End the trace" : "Trace"}</button><span class="grow"></span><${Do} change danger onClick=${() => sureOf(true)}>Remove…<//></p>
    ${isTraced && html`<${Trace} target=${{ ruleId: id }} label=${`Trace of ${id}`} line=${told} />`}<${Edit} key=${data.version} rule=${data} again=${again} />`}
    ${sure && html`<${Confirm} title=${`Remove ${id}`} yes="Remove" onClose=${() => sureOf(false)} onYes=${async () => { if (await act("rules.unregisterRule", { ruleId: id }, `Rule ${id} is gone`)) again(), onClose(); }}><p>Rule <b>${id}</b> is destroyed.</p><//>`}<//>`;
}

function Rules() {
  const { route } = useApp();
  const [isNew, setNew] = useState(false);
  const triggers = useRef({});
  const { data, error, again } = usePoll(async () => {
    const { rules } = await ask("rules.getRules");
    // The list says no triggers: those of the first hundred are asked for once a version.
    for (const { id, version } of rules.slice(0, 100)) if (triggers.current[id]?.version != version) triggers.current[id] = await ask("rules.getRule", { ruleId: id }).catch(() => null);
    return rules.map((one) => ({ ...one, trigger: triggers.current[one.id]?.trigger }));
  }, 5000);
  const rows = data ?? [];
  const [isTraced, trace] = useState(false);
  const toggle = async (row) => { await act(row.enabled ? "rules.disableRule" : "rules.enableRule", { ruleId: row.id }, `${row.id} is ${row.enabled ? "off" : "on"}`); again(); };
  useKeys({
    " ": () => { const row = rowAt(rows); if (row && !app.locked && !document.activeElement.matches("button,a")) toggle(row); return row; },
    t: () => { const row = rowAt(rows); if (row) trace(true), go(["rules", "rules", row.id]); else if (route[2]) trace(!isTraced); return true; },
  });
  if (error) return html`<${Trouble} error=${error} family="rules" />`;
  return html`<div class="bar"><${Do} change primary onClick=${() => setNew(true)}>New rule<//></div><div class="split"><div class="main">${rows.length ? html`<${Table} label="Rules" rows=${rows} keyOf=${(row) => row.id} selected=${route[2]} onOpen=${(row) => { setNew(false); go(["rules", "rules", row.id]); }} columns=${[
      ["rule", (row) => row.id, { mono: true }], ["state", (row) => html`<${State} kind=${row.enabled ? "good" : "off"}>${row.enabled ? "on" : "off"}<//>`], ["", (row) => html`<${Do} change onClick=${() => toggle(row)}>${row.enabled ? "Switch off" : "Switch on"}<//>`, { act: true }], ["when", (row) => (row.trigger ? `${row.trigger.type} ${row.trigger.topic ?? row.trigger.pattern ?? row.trigger.name ?? ""}` : ""), { mono: true }], ["name", (row) => row.name], ["priority", (row) => row.priority, { right: true }], ["version", (row) => row.version, { right: true }], ["group", (row) => row.group ?? ""]]} />`
      : data && html`<${Empty} snippet=${pretty(SAMPLE)}>No rule yet.<//>`}</div>
    ${isNew ? html`<${Drawer} title="New rule" wide onClose=${() => setNew(false)}><${Edit} rule=${SAMPLE} isNew again=${again} onClose=${() => setNew(false)} /><//>` : route[2] && html`<${Rule} key=${route[2]} id=${route[2]} isTraced=${isTraced} trace=${trace} again=${again} onClose=${() => { trace(false); go(["rules"]); }} />`}</div>`;
}

function Facts() {
  const [pattern, set] = useState("");
  const [key, setKey] = useState("");
  const [typed, type] = useState("");
  const { data, error, again } = usePoll(() => (pattern ? ask("rules.queryFacts", { pattern }) : ask("rules.getAllFacts")), 2000, [pattern]);
  const save = async (event) => { event.preventDefault(); const { value, issue } = parse(typed); if (await act("rules.setFact", { key, value: issue ? typed : value }, `Fact ${key} is set`)) again(); };
  return html`<div class="bar end"><label>Pattern<input data-filter class="mono" placeholder="tank:*:level" value=${pattern} onInput=${(event) => set(event.target.value)} /></label><span class="grow"></span>
      <form class="bar end" onSubmit=${save}><label>Fact<input class="mono" required value=${key} onInput=${(event) => setKey(event.target.value)} /></label><label>Value<input class="mono" value=${typed} onInput=${(event) => type(event.target.value)} /></label><${Do} change type="submit">Set<//></form></div>
    <${Trouble} error=${error} family="rules" />${data?.length ? html`<${Table} label="Facts" rows=${data} keyOf=${(row) => row.key} columns=${[["fact", (row) => row.key, { mono: true }], ["value", (row) => text(row.value), { mono: true }], ["since", (row) => html`<${Ago} at=${row.timestamp} />`], ["by", (row) => row.source], ["version", (row) => row.version, { right: true }], ["", (row) => html`<${Do} change danger onClick=${async () => { await act("rules.deleteFact", { key: row.key }, `Fact ${row.key} is gone`); again(); }}>Delete<//>`, { act: true }]]} />` : data && html`<${Empty} action=${pattern && html`<button type="button" onClick=${() => set("")}>Clear pattern</button>`} snippet=${`await db.rules.setFact({ key: "tank:1:level", value: 42 });`}>${pattern ? "No fact matches." : "No fact yet."}<//>`}`;
}

function Timers() {
  const { data, error } = usePoll(() => ask("rules.getTimers"), 2000);
  return html`<${Trouble} error=${error} family="rules" />${data?.length ? html`<${Table} label="Timers" rows=${data} keyOf=${(row) => row.id} columns=${[["timer", (row) => row.name, { mono: true }], ["due", (row) => html`<${Ago} at=${row.expiresAt} />`], ["again", (row) => text(row.cron ?? row.repeat ?? "")], ["rule", (row) => row.ruleId ?? ""]]} />` : data && html`<${Empty} snippet=${`{ "type": "set_timer", "timer": { "name": "check", "duration": "5m", "onExpire": { "topic": "check.due", "data": {} } } }`}>No timer is armed. This action of a rule arms one:<//>`}`;
}

function Events() {
  const [pattern, set] = useState("*");
  const [events, add] = useState([]);
  const [topic, setTopic] = useState("sensor.reading");
  const [typed, type] = useState(`{"celsius": 80}`);
  const n = useRef(0);
  const { value, issue } = parse(typed);
  useEffect(() => {
    add([]);
    return app.db.events(pattern || "*", (event) => !app.frozen && add((old) => [{ n: ++n.current, ...event }, ...old].slice(0, MOST_EVENTS)), (lost) => add((old) => [{ n: ++n.current, gap: lost }, ...old].slice(0, MOST_EVENTS)));
  }, [pattern]);
  const emit = (event) => { event.preventDefault(); if (!issue) act("rules.emit", { topic, data: value }, `${topic} was emitted`); };
  return html`<div class="bar end"><label>Pattern<input data-filter class="mono" value=${pattern} onChange=${(event) => set(event.target.value)} /></label><span class="grow"></span>
      <form class="bar end" onSubmit=${emit}><label>Topic<input class="mono" value=${topic} onInput=${(event) => setTopic(event.target.value)} /></label><label>Data<input class="mono" value=${typed} aria-invalid=${issue ? "true" : undefined} onInput=${(event) => type(event.target.value)} /></label><${Do} change type="submit" disabled=${!!issue}>Emit<//></form></div>
    ${events.length ? html`<${Table} label="Events" rows=${events} keyOf=${(row) => row.n} columns=${[["time", (row) => (row.gap === undefined ? clock(row.timestamp) : "–")], ["topic", (row) => (row.gap === undefined ? row.topic : html`<${State} kind="warn">${row.gap ? `${count(row.gap)} were lost` : "some were missed while away"}<//>`), { mono: true }], ["data", (row) => text(row.data), { mono: true }], ["by", (row) => row.source ?? ""]]} />` : html`<${Empty} snippet=${`await db.rules.emit({ topic: ${JSON.stringify(topic)}, data: ${typed} });`}>No event since this tab was opened.<//>`}`;
}

const PARTS = { rules: Rules, facts: Facts, timers: Timers, events: Events };
export default function All() {
  const { route } = useApp();
  const part = PARTS[route[1]] ? route[1] : seems("admin", "rules.getRules") ? "rules" : "facts";
  const stats = usePoll(() => ask("rules.stats"), 5000);
  const n = stats.data ?? {};
  const tabs = [["rules", `Rules ${count(n.rulesCount)}`], ["facts", `Facts ${count(n.factsCount)}`], ["timers", `Timers ${count(n.timersCount)}`], ["events", "Events"]];
  return html`<div class="tab"><header><h1>Rules</h1><span class="muted">${plural(n.eventsProcessed ?? 0, "event")}, ${plural(n.rulesExecuted ?? 0, "execution")}</span></header>
    <${Tabs} label="Parts" all=${tabs} now=${part} onPick=${(id) => go(["rules", id])} /><${Trouble} error=${stats.error} family="rules" />${!isOff(stats.error) && html`<${PARTS[part]} />`}</div>`;
}
