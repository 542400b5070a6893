import type { Client, QueryConfig } from "./noexd.js";

export interface NoexdCollectionOptions {
  db: Client<any>;
  bucket: string;
  /** A defined query with its parameters, or `config`: a query without a name. Neither: the whole bucket. */
  query?: string;
  params?: object;
  config?: QueryConfig;
  id?: string;
}

/** Options for `createCollection` of `@tanstack/db`. */
export function noexdCollection<T extends object = any>(options: NoexdCollectionOptions): {
  id: string;
  getKey: (row: T) => any;
  sync: any;
  onInsert: (mutation: any) => Promise<void>;
  onUpdate: (mutation: any) => Promise<void>;
  onDelete: (mutation: any) => Promise<void>;
};
