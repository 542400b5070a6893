// A conversation with the client that the first argument names, on the server
// that the second one does, with nothing but what the runtime has itself. It ends
// by itself when the client is closed, or the process hangs.
const [client, url] = (globalThis.Deno?.args ?? process.argv.slice(2));
const { connect, NoexdError } = await import(client);

function same(is, expected) {
  if (JSON.stringify(is) !== JSON.stringify(expected)) throw new Error(`${JSON.stringify(is)}, expected ${JSON.stringify(expected)}`);
}

const db = connect(url);
await db.ready;
await db.store.defineBucket({ name: "kilns", config: { key: "id", schema: { id: { type: "string" }, heat: { type: "number", required: true } } } });
const kilns = db.bucket("kilns");
const hot = kilns.live({ filter: { heat: { $gt: 1000 } }, sort: { heat: "desc" }, fields: ["id", "heat"] });
same(await hot.loaded(), []);
const seen = [];
const end = hot.subscribe(({ data }) => seen.push(data.map(({ id }) => id).join()));
await kilns.insert({ id: "a", heat: 1240 });
await kilns.insertMany([{ id: "b", heat: 900 }, { id: "c", heat: 1300 }]);
for await (const rows of hot) if (rows.length === 2) break;
same(hot.data, [{ id: "c", heat: 1300 }, { id: "a", heat: 1240 }]);
await kilns.update("a", undefined, { apply: { heat: { $inc: 100 } } });
for await (const rows of hot) if (rows[0].id === "a") break;
same(seen.at(-1), "a,c");
await db.transaction([{ op: "delete", bucket: "kilns", key: "c" }, { op: "update", bucket: "kilns", key: "b", data: { heat: 1 } }]);
same(await kilns.count(), 2);
const refused = await kilns.insert({ id: "d" }).catch((error) => error);
if (!(refused instanceof NoexdError)) throw refused;
same([refused.code, refused.issues[0].field], ["VALIDATION_ERROR", "heat"]);
end();
await db.close();
console.log("ok");
