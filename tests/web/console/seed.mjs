// A server as somebody may have one: a smithy's stock, its makers, its sensors.
import { HERE, PASSWORD, SECRET, auth, client, people, start } from "./rig.mjs";

const MAKERS = [["acme", "Acme Fittings", "Brno"], ["borel", "Borel & Fils", "Lyon"], ["corvus", "Corvus Metall", "Linz"], ["dahl", "Dahl Industri", "Oslo"]];
const KINDS = ["bolt", "nut", "washer", "rivet", "pin"];
export async function seeded(t, config = {}) {
  const all = await start(t, { dataDir: HERE, console: true, audit: true, http: true, auth, ...config });
  const { db } = all;
  await db.store.defineBucket({ name: "makers", config: { key: "id", schema: { id: { type: "string" }, name: { type: "string", required: true }, town: { type: "string" } } } });
  await db.store.insertMany({ bucket: "makers", data: MAKERS.map(([id, name, town]) => ({ id, name, town })) });
  await db.store.defineBucket({ name: "parts", config: { key: "sku", schema: { sku: { type: "string" }, kind: { type: "string", enum: KINDS, default: "bolt" }, qty: { type: "number", min: 0 }, price: { type: "number" }, maker: { type: "string", ref: "makers" }, inStock: { type: "boolean" } }, indexes: ["maker"] } });
  await db.store.insertMany({ bucket: "parts", data: Array.from({ length: 240 }, (_, i) => ({ sku: `M${4 + (i % 9)}-${20 + i}`, kind: KINDS[i % 5], qty: (i * 37) % 400, price: Math.round(((i * 13) % 900) + 10) / 100, maker: MAKERS[i % 4][0], inStock: i % 7 != 0 })) });
  await db.store.defineBucket({ name: "orders", config: { key: "id", schema: { id: { type: "string", generated: "uuid" }, sku: { type: "string" }, qty: { type: "number" } } } });
  await db.store.insertMany({ bucket: "orders", data: Array.from({ length: 30 }, (_, i) => ({ sku: `M4-${20 + i}`, qty: i + 1 })) });
  await db.store.defineQuery({ name: "low-stock", config: { bucket: "parts", filter: { qty: { $lt: 40 } }, sort: { qty: "asc" }, limit: 20 } });
  await db.store.defineQuery({ name: "of-maker", config: { bucket: "parts", filter: { maker: "{{ params.maker }}" } } });
  const rule = (id, name, priority, topic, field, value) => ({ id, name, priority, enabled: id != "idle-kiln", trigger: { type: "event", topic }, conditions: [{ source: { type: "event", field }, operator: "gt", value }], actions: [{ type: "set_fact", key: `alarm:${id}`, value: true }] });
  for (const one of [rule("hot-kiln", "Kiln above 1300 °C", 50, "kiln.reading", "celsius", 1300), rule("low-stock", "Order when stock is low", 20, "stock.changed", "missing", 0), rule("idle-kiln", "Nobody fires the kiln", 5, "kiln.idle", "hours", 12)]) await db.rules.registerRule({ rule: one });
  for (const [key, value] of [["kiln:1:celsius", 1240], ["kiln:2:celsius", 1318], ["shift", "late"]]) await db.rules.setFact({ key, value });
  await db.rules.emit({ topic: "kiln.reading", data: { kiln: 2, celsius: 1318 } });
  await db.procedures.register({ procedure: { name: "take-stock", description: "Books a delivery", input: { sku: { type: "string", required: true }, qty: { type: "number", default: 10 } }, steps: [{ action: "store.get", bucket: "parts", key: "{{ input.sku }}", as: "part" }, { action: "store.update", bucket: "parts", key: "{{ input.sku }}", data: { inStock: true } }], transaction: true } });
  await db.procedures.register({ procedure: { name: "count-parts", steps: [{ action: "store.count", bucket: "parts", as: "n" }] } });
  await db.logic.defineView({ definition: { name: "by-maker", from: { p: "parts" }, groupBy: "p.maker", select: { maker: "p.maker", pieces: { $sum: "p.qty" } }, reactive: true } });
  let ids = {};
  if (!("auth" in config)) {
    ids = await people(db, { mira: "writer", bela: "reader", otto: "admin" });
    await db.identity.disableUser({ userId: ids.bela });
    const mira = await client(t, all.server, { auth: { username: "mira", password: PASSWORD } });
    mira.live("of-maker", { maker: "acme" }).subscribe(() => {});
  }
  db.live("low-stock").subscribe(() => {});
  await db.store.backup({ name: "before-migration" });
  return { ...all, ids, SECRET };
}

/** Each tab, as it is opened with something in it, and what says that it is there. */
export const TABS = {
  now: ["now", ".figures", "connections"], data: ["data/parts?key=%22M4-20%22", ".drawer", "version"], buckets: ["data", "table", "parts"], views: ["views/low-stock", ".drawer", "Result"], slow: ["slow", "table", "conn-"],
  rules: ["rules/rules/hot-kiln", ".drawer", "hot-kiln"], facts: ["rules/facts", "table", "kiln:1"], logic: ["logic/procedures/take-stock", ".drawer", "Definition"], people: ["people", "table", "mira"], may: ["people/may", "main", "Ask"],
  audit: ["audit", "table", "identity.createUser"], play: ["play?operation=store.find", "main", "Copy as"], backups: ["backups", "table", "before-migration"],
};
