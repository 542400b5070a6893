// Who is here: one record of one's own in a bucket with `lifetime`, which the
// server removes when the connection is gone. No timer and no beats.

function randomKey() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

export function joinPresence(db, { bucket, query, params, key = randomKey(), data = {}, keyField = "id" }) {
  let own = data, isHere = true;
  const records = db.bucket(bucket);
  // A record of the past is worth nothing: not numbered, and made anew at each connect.
  const put = () => records.upsert({ ...own, [keyField]: key }, { once: false }).catch((error) => {
    if (!/^(UNKNOWN_OUTCOME|CLOSED)$/.test(error.code)) throw error;
  });
  const report = (error) => (globalThis.reportError ? reportError(error) : console.error(error));
  const stop = db.on("status", (status) => { if (status == "online" && isHere) put().catch(report); });
  const first = db.status == "online" ? put() : db.ready;
  first.catch(report);
  return {
    key,
    live: query ? records.live(query, params) : records.live({}),
    update(change) {
      own = { ...own, ...change };
      return isHere && db.status == "online" ? put() : Promise.resolve();
    },
    async leave() {
      if (!isHere) return;
      isHere = false;
      stop();
      if (db.status == "online") await records.delete(key, { once: false });
    },
  };
}
