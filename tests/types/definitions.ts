// Types of a noexd server, made by `noexd types` VERSION from definitions d3f9ce277e1be724.
// Records may hold fields that are not declared here, and lack those that were
// declared after they were written.

export type Json = string | number | boolean | null | Json[] | JsonObject;
export type JsonObject = { [name: string]: Json };
export type Scalar = string | number | boolean | null;
/** A filter of the query language on records of this type. */
export type Filter<R> = { [F in keyof R | "$and" | "$or"]?: unknown };

/** A record of "makers". */
export interface Makers {
  /** key */
  id: MakersKey;
  name?: string | null;
  _version: number;
  _createdAt: number;
  _updatedAt: number;
}
export interface MakersInsert {
  id: MakersKey;
  name?: string | null;
}
export interface MakersUpdate {
  name?: string | null;
}
export type MakersKey = "acme" | "bolt\"s" | "*/";

/** A record of "parts". */
export interface Parts {
  /** key, generated uuid */
  sku: PartsKey;
  /** min 0, max 9.5 */
  qty: number;
  /** default "new" */
  state: "new" | "used" | null;
  /** default "new" */
  stated: "new" | "used";
  size?: 1 | 2.5 | null;
  whole?: 1 | -2 | null;
  flag?: true | null;
  nothing?: null;
  /** ref makers */
  maker?: MakersKey | null;
  /** ref parts */
  parent?: PartsKey | null;
  /** ref parts */
  odd_ref?: number | null;
  made?: string | number | null;
  /** generated timestamp */
  at: number;
  dims?: { w: number; h?: number | null; deep?: { "a-b"?: string | null } | null } | null;
  free?: JsonObject | null;
  tags?: ("a" | "b" | null)[] | null;
  lists?: (({ x: number } | null)[] | null)[] | null;
  any?: Json[] | null;
  /** unique, format email, pattern ^[^*\/]+(a*\/)@\u000a, minLength 3, maxLength 80 */
  mail?: string | null;
  declared: number | null;
  /** computed */
  value: number | null;
  /** computed */
  label: string | null;
  /** computed */
  low: boolean;
  /** computed */
  odd: Json;
  _version: number;
  _createdAt: number;
  _updatedAt: number;
  _expiresAt: number | null;
}
export interface PartsInsert {
  sku?: PartsKey;
  qty: number;
  state?: "new" | "used" | null;
  stated?: "new" | "used";
  size?: 1 | 2.5 | null;
  whole?: 1 | -2 | null;
  flag?: true | null;
  nothing?: null;
  maker?: MakersKey | null;
  parent?: PartsKey | null;
  odd_ref?: number | null;
  made?: string | number | null;
  at?: number;
  dims?: { w: number; h?: number | null; deep?: { "a-b"?: string | null } | null } | null;
  free?: JsonObject | null;
  tags?: ("a" | "b" | null)[] | null;
  lists?: (({ x: number } | null)[] | null)[] | null;
  any?: Json[] | null;
  mail?: string | null;
  _expiresAt?: number | null;
}
export interface PartsUpdate {
  qty?: number;
  state?: "new" | "used" | null;
  stated?: "new" | "used";
  size?: 1 | 2.5 | null;
  whole?: 1 | -2 | null;
  flag?: true | null;
  nothing?: null;
  maker?: MakersKey | null;
  parent?: PartsKey | null;
  odd_ref?: number | null;
  made?: string | number | null;
  dims?: { w: number; h?: number | null; deep?: { "a-b"?: string | null } | null } | null;
  free?: JsonObject | null;
  tags?: ("a" | "b" | null)[] | null;
  lists?: (({ x: number } | null)[] | null)[] | null;
  any?: Json[] | null;
  mail?: string | null;
  _expiresAt?: number | null;
}
export type PartsKey = string;

/** A record of "class". */
export interface Class {
  /** key, generated autoincrement */
  def: ClassKey;
  __proto__?: string | null;
  constructor?: string | null | Function;
  "a\"b"?: string | null;
  "x\u2028y\\"?: number | null;
  ""?: boolean | null;
  "größe"?: number | null;
  str?: string | null;
  for?: string | null;
  __x?: string | null;
  "2"?: { in?: string | null } | null;
  _version: number;
  _createdAt: number;
  _updatedAt: number;
}
export interface ClassInsert {
  def?: ClassKey;
  __proto__?: string | null;
  constructor?: string | null | Function;
  "a\"b"?: string | null;
  "x\u2028y\\"?: number | null;
  ""?: boolean | null;
  "größe"?: number | null;
  str?: string | null;
  for?: string | null;
  __x?: string | null;
  "2"?: { in?: string | null } | null;
}
export interface ClassUpdate {
  __proto__?: string | null;
  constructor?: string | null | Function;
  "a\"b"?: string | null;
  "x\u2028y\\"?: number | null;
  ""?: boolean | null;
  "größe"?: number | null;
  str?: string | null;
  for?: string | null;
  __x?: string | null;
  "2"?: { in?: string | null } | null;
}
export type ClassKey = number;

/** A record of "日本 \"\"\" *\/". */
export interface 日本 {
  /** key */
  id: 日本Key;
  _version: number;
  _createdAt: number;
  _updatedAt: number;
}
export interface 日本Insert {
  id: 日本Key;
}
export interface 日本Update {
}
export type 日本Key = string;

/** A record of "parts-insert". */
export interface PartsInsert_2 {
  /** key, ref loop */
  id: PartsInsert_2Key;
  _version: number;
  _createdAt: number;
  _updatedAt: number;
}
export interface PartsInsert_2Insert {
  id: PartsInsert_2Key;
}
export interface PartsInsert_2Update {
}
export type PartsInsert_2Key = string;

/** A record of "loop". */
export interface Loop {
  /** key, ref parts-insert */
  id: LoopKey;
  _version: number;
  _createdAt: number;
  _updatedAt: number;
}
export interface LoopInsert {
  id: LoopKey;
}
export interface LoopUpdate {
}
export type LoopKey = string;

/** A record of "child". */
export interface Child {
  /** key, ref class, default 1 */
  id: ChildKey;
  _version: number;
  _createdAt: number;
  _updatedAt: number;
}
export interface ChildInsert {
  id?: ChildKey;
}
export interface ChildUpdate {
}
export type ChildKey = ClassKey;

/** A record of "none". */
export interface None_2 {
  /** key */
  id: None_2Key;
  _version: number;
  _createdAt: number;
  _updatedAt: number;
}
export interface None_2Insert {
  id: None_2Key;
}
export interface None_2Update {
}
export type None_2Key = string;

/** For `connect<DB>(…)`. */
export interface DB {
  buckets: {
    makers: { record: Makers; insert: MakersInsert; update: MakersUpdate; key: MakersKey };
    parts: { record: Parts; insert: PartsInsert; update: PartsUpdate; key: PartsKey };
    class: { record: Class; insert: ClassInsert; update: ClassUpdate; key: ClassKey };
    "日本 \"\"\" */": { record: 日本; insert: 日本Insert; update: 日本Update; key: 日本Key };
    "parts-insert": { record: PartsInsert_2; insert: PartsInsert_2Insert; update: PartsInsert_2Update; key: PartsInsert_2Key };
    loop: { record: Loop; insert: LoopInsert; update: LoopUpdate; key: LoopKey };
    child: { record: Child; insert: ChildInsert; update: ChildUpdate; key: ChildKey };
    none: { record: None_2; insert: None_2Insert; update: None_2Update; key: None_2Key };
  };
  queries: {
    "low-stock": { bucket: "parts"; params: { max: number; maker: MakersKey | null }; result: Pick<Parts, "sku" | "qty">[] };
    all: { bucket: "parts"; params: { [name: string]: never }; result: Parts[] };
    every: { bucket: "parts"; params: { n: number; list: number[]; pair: [number, number]; one: "new" | "used"; not: "new" | "used" | null; text: string; there: boolean; stray: Scalar; key: MakersKey | null; never: null; from: string | number; to: string | number }; result: (Pick<Parts, "sku" | "_version"> & { nowhere?: unknown })[] };
    whole: { bucket: "parts"; params: { any: Filter<Parts>[] }; result: Parts[] };
    stray: { bucket: "parts"; params: { [name: string]: never }; result: { nowhere?: unknown }[] };
    n: { bucket: "parts"; params: { [name: string]: never }; result: number };
    most: { bucket: "parts"; params: { [name: string]: never }; result: number | null };
    by: { bucket: "parts"; params: { [name: string]: never }; result: { key: Pick<Parts, "maker" | "state">; value: number }[] };
    __proto__: { bucket: "class"; params: { constructor: string | null }; result: Class[] };
  };
  procedures: {
    "close-ticket": { input: { ticket: string; note?: string | null; n?: number | null; o: JsonObject; a: Json[]; __proto__: boolean }; output: unknown };
    any: { input: unknown; output: unknown };
    none: { input: { [name: string]: never }; output: unknown };
  };
  views: {
    owed: { maker: string | null; made: number | null; w: number | null; n: number; sum: number; avg: number | null; max: number | string | null; r: Json; x: ("a" | "b" | null)[] | null; k: Json };
  };
}
