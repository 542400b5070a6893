// Backups: copies beside the data, and how to go back to one.
import {
  Ago, Confirm, Do, Empty, Table, Trouble, ask, bytes, count, html, note, plural, usePoll, useState,
} from "../ui.js";

export default function Backups() {
  const [isBusy, busy] = useState(false);
  const { data, error, again } = usePoll(() => ask("store.backups"), isBusy ? 1000 : 5000, [isBusy]);
  const stats = usePoll(() => ask("server.metrics", { names: ["noexd_storage_file_bytes"] }), 30000);
  const [name, setName] = useState("");
  const [sure, sureOf] = useState(null);
  const rows = Array.isArray(data) ? data : data?.backups ?? [];
  const [chosen, choose] = useState(null);
  const sureOfRow = (row) => { choose(new Set(row.bucketNames ?? [])); sureOf({ row }); };
  const newest = Math.max(0, ...rows.map((row) => row.createdAt));
  /** Another one that runs is waited for. */
  const run = async (type, fields, done) => {
    busy(true);
    for (let tries = 0; tries < 60; tries++) {
      try {
        const answer = await ask(type, fields, { timeoutMs: 600000 });
        note("good", done(answer));
        break;
      } catch (why) {
        if (/another backup or restore is running/i.test(why.message)) { await new Promise((resolve) => setTimeout(resolve, 1000)); continue; }
        note("bad", `${why.code}: ${why.message}${type == "store.restore" ? " Nothing was changed." : ""}`, { operation: type });
        break;
      }
    }
    busy(false);
    again();
  };
  const make = (event) => { event.preventDefault(); run("store.backup", name ? { name } : {}, (answer) => `Backup ${answer.name}: ${plural(answer.totalRecords, "record")}, ${bytes(answer.bytes)}`); };
  if (error && !data) return html`<div class="tab"><h1>Backups</h1><${Trouble} error=${error} family=${/STORAGE|persist|storage|NOT_AVAILABLE/i.test(`${error.code} ${error.message}`) ? "store" : undefined} />${!/NOT_AVAILABLE|UNKNOWN/.test(error.code) && html`<${Empty} snippet="noexd --data-dir DIR">Backups need data on disk.<//>`}</div>`;
  return html`<div class="tab"><header><h1>Backups</h1><span class="muted">${rows.length ? html`newest <${Ago} at=${newest} />` : ""}${stats.data?.noexd_storage_file_bytes != null && ` · data ${bytes(stats.data.noexd_storage_file_bytes)}`}</span><span class="grow"></span><form class="bar" onSubmit=${make}><input aria-label="Name" placeholder="backup-…" value=${name} onInput=${(event) => setName(event.target.value)} /><${Do} change primary type="submit" disabled=${isBusy}>${isBusy ? "Running…" : "Back up now"}<//></form></header>
    ${rows.length ? html`<${Table} label="Backups" rows=${rows} keyOf=${(row) => row.name} columns=${[["backup", (row) => row.name, { mono: true }], ["", (row) => html`<span class="bar"><${Do} change disabled=${isBusy} onClick=${() => sureOfRow(row)}>Restore<//><${Do} change danger onClick=${() => sureOf({ row, isDelete: true })}>Delete<//></span>`, { act: true }], ["made", (row) => html`<${Ago} at=${row.createdAt} />`], ["buckets", (row) => count(row.bucketNames?.length), { right: true }], ["records", (row) => count(row.totalRecords), { right: true }], ["size", (row) => bytes(row.bytes), { right: true }]]} />
      <p class="muted small">The files lie in <code>backups/</code> beside the data. A copy elsewhere: <code>noexd backup --output FILE</code></p>` : data && html`<${Empty} snippet="noexd backup --output FILE">No backup yet.<//>`}
    ${sure && (sure.isDelete ? html`<${Confirm} title=${`Delete ${sure.row.name}`} yes="Delete" onClose=${() => sureOf(null)} onYes=${() => run("store.deleteBackup", { name: sure.row.name }, () => "The backup is gone")}><p>The copy <b>${sure.row.name}</b> is destroyed.</p><//>`
      : html`<${Confirm} title=${`Restore ${sure.row.name}`} word=${sure.row.name} yes="Restore" disabled=${!chosen.size} onClose=${() => sureOf(null)} onYes=${() => run("store.restore", { name: sure.row.name, ...(chosen.size < sure.row.bucketNames.length && { buckets: [...chosen] }) }, (answer) => `${sure.row.name} is restored: ${plural(answer.totalRecords, "record")} in ${plural(answer.bucketNames.length, "bucket")}`)}>
        <fieldset class="chips"><legend>Buckets</legend>${(sure.row.bucketNames ?? []).map((one) => html`<label class="check" key=${one}><input type="checkbox" checked=${chosen.has(one)} onChange=${() => choose((old) => { const next = new Set(old); next.has(one) ? next.delete(one) : next.add(one); return next; })} />${one}</label>`)}</fieldset>
        <p>All records of <b>${[...chosen].join(", ") || "no bucket"}</b> are replaced by those of this copy of ${new Date(sure.row.createdAt).toLocaleString("en-GB")}. What was written since is lost.</p><//>`)}</div>`;
}
