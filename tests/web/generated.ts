// Compiled, never run: the client with types that `noexd types` has made.
import { connect, type Live } from "../../src/web/client/noexd.js";
import type { DB, Filter, MakersKey, Parts, PartsInsert } from "../types/definitions.js";

export async function all(): Promise<void> {
  const db = connect<DB>("http://127.0.0.1:8080");
  const parts = db.bucket("parts");
  const one: Parts = await parts.insert({ qty: 3, state: null, dims: { w: 1 }, tags: ["a", null] });
  const computed: [number | null, string | null, boolean] = [one.value, one.label, one.low];
  await parts.update(one.sku, { qty: 4 });
  const maker: MakersKey = "acme";

  const low: Live<{ sku: string; qty: number }[]> = db.live("low-stock", { max: 3, maker: null });
  const rows = await db.live("every", {
    n: 1, list: [1], pair: [1, 2], one: "new", not: null, text: "", there: true, stray: false, key: maker, never: null, from: "2026", to: 1,
  }).loaded();
  const nowhere: unknown = rows[0]?.nowhere;
  const filter: Filter<Parts> = { qty: { $gt: 1 }, $or: [{ state: "new" }] };
  const whole: Parts[] = await db.live("whole", { any: [filter] }).loaded();
  const count: number = await db.live("n").loaded();
  const most: number | null = await db.live("most").loaded();
  const groups = await db.live("by").loaded();
  const sum: number = groups[0]!.value;
  const of: MakersKey | null | undefined = groups[0]!.key.maker;
  const odd = await db.live("__proto__", { constructor: "x" }).loaded();
  const strange: string | null | undefined = odd[0]!["a\"b"];
  await db.call("close-ticket", { ticket: "T-1", o: {}, a: [], __proto__: true });
  await db.call("any", 7);
  await db.call("any");
  await db.call("none");
  const bills: number = (await db.view("owed").loaded())[0]!.n;
  const strangest = db.bucket("日本 \"\"\" */");

  // @ts-expect-error a required field
  const wrong1: PartsInsert = { state: "new" };
  // @ts-expect-error another type
  await parts.insert({ qty: "3" });
  // @ts-expect-error not one of its values
  await parts.insert({ qty: 3, state: "broken" });
  // @ts-expect-error there is no such field
  await parts.insert({ qty: 3, qyt: 3 });
  // @ts-expect-error the key stays
  await parts.update(one.sku, { sku: "other" });
  // @ts-expect-error a parameter is missing
  db.live("low-stock", { max: 3 });
  // @ts-expect-error all of them are
  db.live("low-stock");
  // @ts-expect-error it takes none
  db.live("all", { max: 3 });
  // @ts-expect-error nobody makes that
  db.live("low-stock", { max: 3, maker: "nobody" });
  // @ts-expect-error the result has two fields
  (await low.loaded())[0]!.maker;
  // @ts-expect-error what it takes is missing
  await db.call("close-ticket");
  // @ts-expect-error no such bucket
  db.bucket("part");
  void [computed, nowhere, whole, count, most, sum, of, strange, bills, strangest, wrong1];
}
