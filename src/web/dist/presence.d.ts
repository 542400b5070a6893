import type { Client, Live } from "./noexd.js";

export interface PresenceOptions {
  /** A bucket with `"lifetime": "connection"`. */
  bucket: string;
  /** A defined query over it; without one, all records. Its `fields` should leave the metadata out, so that a return within the grace time is not a change. */
  query?: string;
  params?: object;
  /** Key of the own record; default 128 random bits. */
  key?: string;
  /** Name of the bucket's key field; default `id`. */
  keyField?: string;
  /** What others see of us. */
  data?: object;
}

export interface Presence<T = any> {
  readonly key: string;
  /** Who is here. */
  readonly live: Live<T[]>;
  /** Merged into the own record. */
  update(change: object): Promise<unknown>;
  /** Deletes the own record; during a break, at the next connect. */
  leave(): Promise<void>;
}

export function joinPresence<T = any>(db: Client<any>, options: PresenceOptions): Presence<T>;
