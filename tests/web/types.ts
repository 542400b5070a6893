// Compiled, never run: the examples of the manual against the declarations.
import { connect, NoexdError, type Live } from "../../src/web/client/noexd.js";
import { createHooks } from "../../src/web/client/hooks.js";
import { offlineQueue } from "../../src/web/client/offline.js";
import { joinPresence } from "../../src/web/client/presence.js";
import { noexdCollection } from "../../src/web/client/tanstack.js";

interface Kiln { id: string; heat: number; room?: string | null }
interface DB {
  buckets: { kilns: { record: Kiln; insert: { id?: string; heat: number; room?: string | null }; update: { heat?: number }; key: string } };
  queries: { hot: { bucket: "kilns"; params: { above: number }; result: Pick<Kiln, "id" | "heat">[] } };
  procedures: { cool: { input: { id: string }; output: number } };
  views: { rooms: { room: string; n: number } };
}

export async function all(): Promise<void> {
  const db = connect<DB>("http://127.0.0.1:8080", { auth: { getToken: async () => null }, queue: offlineQueue("q"), tokenStore: "local" });
  const kilns = db.bucket("kilns");
  const one: Kiln = await kilns.insert({ heat: 1 });
  await kilns.update(one.id, { heat: 2 }, { expect: { heat: 1 }, optimistic: true });
  await kilns.update(one.id, undefined, { apply: { heat: { $inc: 1 } } });
  const got: Kiln | null = await kilns.get(one.id);
  const hot: Live<Pick<Kiln, "id" | "heat">[]> = db.live("hot", { above: 3 });
  hot.subscribe(({ data, status, error }, change) => {
    if (error instanceof NoexdError) console.log(error.code, status);
    if ("reset" in change) console.log(data?.[0]?.heat);
    else console.log(change.added.length);
  });
  const cooled: number = await db.call("cool", { id: "x" });
  const rooms: { room: string; n: number }[] = await db.view("rooms").loaded();
  for await (const page of kilns.pages(10)) console.log(page[0]?.heat);
  for await (const rows of kilns.live({ sort: { heat: "desc" } })) console.log(rows[0]?.heat);
  await db.store.defineBucket({ name: "x", config: {} });
  db.on("write", ({ n, state, error }) => console.log(n, state, error?.code));
  const me = joinPresence(db, { bucket: "here", data: { name: "Ada" } });
  noexdCollection<Kiln>({ db, bucket: "kilns" });
  createHooks({ useCallback: 0, useSyncExternalStore: 0 }).useLive(hot).data?.[0]?.heat;
  // @ts-expect-error no such bucket
  db.bucket("ovens");
  // @ts-expect-error no such field type
  await kilns.insert({ heat: "hot" });
  // @ts-expect-error the parameter is missing
  db.live("hot", {});
  // @ts-expect-error not a procedure
  await db.call("warm", {});
  // @ts-expect-error read only
  db.status = "online";
  console.log(got, cooled, rooms, me.key);
  // Without types everything is allowed.
  const any = connect();
  (await any.bucket("whatever").insert({ x: 1 })).y;
}
