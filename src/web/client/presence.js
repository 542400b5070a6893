// Who is here: one record of one's own in a bucket with `lifetime`, which the
// server removes when the connection is gone. No timer and no beats.

function randomKey() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

export function joinPresence(db, { bucket, query, params, key = randomKey(), data = {}, keyField = "id" }) {
  let own = data, isHere = true, user;
  const records = db.bucket(bucket);
  // A record of the past is worth nothing: not numbered, and made anew at each connect.
  const o = { once: false };
  /** The record is made to be what it should be. What a break leaves open is done at the next connect. */
  const send = async () => {
    user = db.user?.userId;
    try {
      if (isHere) await records.upsert({ ...own, [keyField]: key }, o);
      else await records.delete(key, o), stop();
    } catch (error) {
      if (/^(UNKNOWN_OUTCOME|OFFLINE|CLOSED)$/.test(error.code)) return;
      if (!isHere) stop();
      throw error;
    }
  };
  let sent, next;
  /** One is under way, or waits for a login; at most one more is behind it, with what is newest then. */
  const put = () => {
    if (sent) return (next ??= sent.catch(() => {}).then(() => ((next = undefined), put())));
    const mine = (sent = send().finally(() => { if (sent == mine) sent = undefined; }));
    return mine;
  };
  /** After a connect and for another user, whatever became of the one before. */
  const putAnew = () => ((sent = undefined), put());
  const report = (error) => (globalThis.reportError ? reportError(error) : console.error(error));
  const onStatus = db.on("status", (status) => { if (status == "online") putAnew().catch(report); });
  // The record of somebody else goes with his login; who is nobody may have no right to one.
  const onUser = db.on("user", (now) => {
    if (db.status == "online" && now?.userId !== user) putAnew().catch((error) => now && report(error));
  });
  const stop = () => (onStatus(), onUser());
  if (db.status == "online") put().catch(report);
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
      // Away, the record may outlast the break: it goes at the next connect.
      if (db.status == "online") await put();
    },
  };
}
