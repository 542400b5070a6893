// A collection of TanStack DB over one live query.

export function noexdCollection({ db, bucket, query, params, config = {}, id }) {
  const records = db.bucket(bucket);
  const live = query ? records.live(query, params) : records.live(config);
  let keyField;

  function sync({ begin, write, commit, markReady, markError, truncate }) {
    let isReady = false, byKey = new Map();
    const fail = (error) => (markError ? markError(error) : markReady());
    const all = (rows, keys) => rows.forEach((row, i) => {
      byKey.set(keys[i], row);
      write({ type: "insert", value: row });
    });
    return live.subscribe(({ data, status, error }, change) => {
      if (data === undefined) {
        if (status == "error" && !isReady) fail(error);
        return;
      }
      const keys = live.keys();
      keyField = live.keyField();
      if (!keys || !keyField || data.some((row) => !(keyField in row))) {
        const why = new Error(`noexdCollection needs rows with their key field${keyField ? ` "${keyField}"` : ""}: aggregates, and "fields" without it, have none`);
        if (isReady) throw why;
        return fail(why);
      }
      if (isReady && !change.reset && !change.removed.length && !change.added.length && !change.changed.length) return;
      begin();
      if (!isReady || change.reset) {
        if (isReady) truncate(), (byKey = new Map());
        all(data, keys);
      } else {
        const now = new Map(keys.map((key, i) => [key, data[i]]));
        for (const key of change.removed) write({ type: "delete", value: byKey.get(key) }), byKey.delete(key);
        for (const [type, list] of [["insert", change.added], ["update", change.changed]]) {
          for (const key of list) write({ type, value: now.get(key) }), byKey.set(key, now.get(key));
        }
      }
      commit();
      if (!isReady) markReady();
      isReady = true;
    });
  }

  /** One transaction for all; then until the collection shows it. */
  async function send(op, { transaction }) {
    const operations = transaction.mutations.map(({ key, modified, changes }) =>
      op == "insert" ? { op, bucket, data: modified } : op == "update" ? { op, bucket, key, data: changes } : { op, bucket, key });
    let commit;
    await db.transaction(operations, { onCommit: (number) => { commit = number; } });
    await live.reached(commit ?? 0);
  }

  return {
    id: id ?? `noexd:${bucket}:${query ?? JSON.stringify(config)}:${JSON.stringify(params ?? null)}`,
    getKey: (row) => row[keyField ?? "id"],
    sync: { sync, rowUpdateMode: "full" },
    onInsert: (mutation) => send("insert", mutation),
    onUpdate: (mutation) => send("update", mutation),
    onDelete: (mutation) => send("delete", mutation),
  };
}
