// The schema of a bucket: fields, indexes, expiry; add to it, empty it, drop it.
import { Confirm, Do, Drawer, Editor, Json, Table, Trouble, act as send, asks, bytes, count, go, html, parse, pretty, text, usePoll, useState } from "../ui.js";

/** What may be done to a bucket, to begin with. */
const SAMPLES = {
  "a field": { addFields: { colour: { type: "string" } } }, "an index": { addIndexes: ["colour"] }, "expiry": { ttl: "30d" }, "row rules": { rows: { read: { owner: "{{ session.userId }}" } } },
};

const act = (type, fields, done) => send(type, fields, done, { acting: true });
export default function Schema({ bucket, config, error, again, onClose }) {
  const [source, set] = useState(pretty({ addIndexes: [] }));
  const { data: stats } = usePoll(() => asks("server.stats", { details: true }), 5000);
  const size = stats?.data?.buckets?.[bucket];
  const [sure, ask] = useState(null);
  const { value, issue } = parse(source);
  const fields = Object.entries(config?.schema ?? {}).map(([name, type]) => ({ name, ...type }));
  const rest = ({ name, type, ...more }) => Object.entries(more).map(([rule, what]) => (what === true ? rule : `${rule} ${text(what)}`)).join(", ");
  const apply = async () => {
    if (!issue && (await act("store.updateBucket", { name: bucket, updates: value }, "The bucket is changed"))) again();
  };
  const { schema, ...others } = config ?? {};
  return html`<${Drawer} title=${`Schema of ${bucket}`} wide onClose=${onClose}>
    ${error && !config && html`<${Trouble} error=${error} />`}<${Table} label="Fields" rows=${fields} keyOf=${(row) => row.name} columns=${[["field", (row) => html`${row.name}${row.name == config.key ? html` <span class="muted">key</span>` : ""}`], ["type", (row) => row.type], ["rules", rest]]} />
    ${size && html`<p class="muted">${count(size.records)} records, ${bytes(size.rowBytes)}; indexes ${bytes(size.indexBytes)}, views ${bytes(size.viewBytes)}</p>`}
    <h2>Beside the fields</h2><${Json} value=${others} />
    <h2>Change</h2><${Editor} label="Updates" rows=${5} value=${source} onInput=${set} issues=${issue ? [issue] : []} onRun=${apply} />
    <p class="bar"><span class="muted small">Begin with</span>${Object.entries(SAMPLES).map(([what, sample]) => html`<button type="button" key=${what} onClick=${() => set(pretty(sample))}>${what}</button>`)}</p>
    <p class="bar"><${Do} change primary disabled=${!!issue} onClick=${apply}>Apply<//><span class="grow"></span><${Do} change danger onClick=${() => ask("clear")}>Clear…<//><${Do} change danger onClick=${() => ask("drop")}>Drop…<//></p>
    ${sure == "clear" && html`<${Confirm} title=${`Clear ${bucket}`} word=${bucket} yes="Clear" onClose=${() => ask(null)} onYes=${() => act("store.clear", { bucket }, `All records of ${bucket} are gone`)}><p>Every record of <b>${bucket}</b> is destroyed.</p><//>`}
    ${sure == "drop" && html`<${Confirm} title=${`Drop ${bucket}`} word=${bucket} yes="Drop" onClose=${() => ask(null)} onYes=${async () => { if (await act("store.dropBucket", { name: bucket }, `Bucket ${bucket} is gone`)) go(["data"]); }}><p>Bucket <b>${bucket}</b>, its records and its definition are destroyed.</p><//>`}<//>`;
}
