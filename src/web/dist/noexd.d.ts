// The public face of noexd.js. The manual is docs/javascript.md.

/** A value as JSON has it. */
export type Json = string | number | boolean | null | Json[] | { [name: string]: Json };
/** A primary key; groups of an aggregate have the array of their texts, optimistic rows without a key a symbol. */
export type Key = string | number | symbol | string[];
/** A filter of the query language, for instance `{ heat: { $gt: 1000 } }`. */
export type Filter = { [field: string]: any };

/** What `noexd types` generates; this one allows everything. */
export interface AnyDB {
  buckets: { [name: string]: { record: any; insert: any; update: any; key: any } };
  queries: { [name: string]: { bucket: string; params: any; result: any } };
  procedures: { [name: string]: { input: any; output: any } };
  views: { [name: string]: any };
}

/** Version of this client; that of the server it is released with. */
export const version: string;

/** Every failure: `code` says what to do, `message` is for people. */
export class NoexdError extends Error {
  constructor(code: string, message?: string, details?: unknown, operation?: string);
  /** A code of the protocol, or `TIMEOUT`, `ABORTED`, `OFFLINE`, `UNKNOWN_OUTCOME`, `QUEUE_FULL`, `TOO_LARGE`, `CLOSED`, `UNSUPPORTED`, `NO_WEBSOCKET`, `NO_URL`. */
  readonly code: string;
  /** What the server added; depends on the code. */
  readonly details: any;
  /** The operation that failed, for instance `store.insert`. */
  readonly operation?: string;
  /** What is wrong with the data, one by one; empty if it is something else. */
  readonly issues: any[];
  /** When it may work, in milliseconds. */
  readonly retryAfterMs?: number;
  /** The same request may succeed later, and repeating it does no harm. */
  readonly retryable: boolean;
}

/** How to log in. A password is used once and not kept; `getToken` is asked at every connect and before a token ends. */
export type Auth = { token: string } | { username: string; password: string } | { secret: string } | { getToken: () => Promise<string | null> };

/** Somewhere to keep a session's token. */
export interface TokenStore {
  get(): string | null | undefined | Promise<string | null | undefined>;
  set(token: string): void | Promise<void>;
  delete(): void | Promise<void>;
}

export interface Options {
  auth?: Auth;
  /** Where the token stays: `"memory"` (default), `"session"`, `"local"` (Web Storage; follows other tabs), or a store of your own. */
  tokenStore?: "memory" | "session" | "local" | TokenStore;
  /** The constructor; default the global one. Node 20: `ws`. */
  WebSocket?: any;
  /** Changes wait for the connection: in memory (default), not at all (`false`), or in a stored queue. */
  queue?: "memory" | false | object;
  /** Longest wait for an answer to a read, 10000. Changes in the queue have no limit of their own. */
  timeoutMs?: number;
  /** Longest wait for the server's welcome, 10000. */
  connectTimeoutMs?: number;
  /** Shorter breaks do not show, 1000. */
  staleAfterMs?: number;
  /** A Live without listeners is kept so long, 5000. */
  keepMs?: number;
  /** A page that is hidden so long disconnects; 0 (default): never. */
  hiddenMs?: number;
  /** Longer requests are rejected unsent, 1048576. */
  maxMessageBytes?: number;
  /** Attempt k waits a random time from `minMs` to `min(maxMs, baseMs * 2^k)`. */
  retry?: { minMs?: number; baseMs?: number; maxMs?: number };
  /** What `snapshot()` gave, on the server for instance. */
  hydrate?: object;
  /** Connect at first use and not at once. */
  lazy?: boolean;
  /** Without it nothing is printed. */
  log?: (level: "info" | "warn", text: string, data?: unknown) => void;
}

export interface RequestOptions {
  timeoutMs?: number;
  signal?: AbortSignal;
}

/** A Live and a pure function from its rows to those with the change. */
export type Patch = <T>(live: Live<T[]>, change: (rows: readonly T[]) => readonly T[]) => void;

export interface WriteOptions extends RequestOptions {
  /** Show the change before the server has answered. */
  optimistic?: boolean | ((patch: Patch) => void);
  /** Told the commit of the answer, for `live.reached`; `undefined` from servers without numbers. */
  onCommit?: (commit: number | undefined) => void;
  /** `false`: not numbered, so a break leaves its outcome unknown. */
  once?: false;
}

/** Only if the record has these values; and operators such as `{ heat: { $inc: 1 } }`. */
export interface ChangeOptions extends WriteOptions {
  expect?: { [field: string]: string | number | boolean | null };
  apply?: { [field: string]: object };
}

/** `loading`: nothing yet. `live`: as on the server. `stale`: last known. `error`: refused or ended. */
export type LiveStatus = "loading" | "live" | "stale" | "error";

export interface Snapshot<T> {
  readonly data: T | undefined;
  readonly status: LiveStatus;
  readonly error?: NoexdError;
  readonly commit?: number;
  readonly window?: { offset: number; limit: number };
}

/** What became of the list, by key; `reset` where there are no keys. */
export type Change = { reset: true } | { removed: Key[]; added: Key[]; changed: Key[] };

/** A query whose result stays true. Equal source and parameters give the same object. */
export interface Live<T> {
  readonly data: T | undefined;
  readonly status: LiveStatus;
  /** Why, with status `error`. */
  readonly error?: NoexdError;
  /** The commit that `data` is the state of, from servers that say so. */
  readonly commit?: number;
  readonly window?: { offset: number; limit: number };
  /** The same frozen object until something changes. */
  snapshot(): Snapshot<T>;
  /** Calls at once if there is data, then after each change; returns the end of it. */
  subscribe(fn: (snapshot: Snapshot<T>, change: Change) => void): () => void;
  /** The first result. */
  loaded(): Promise<T>;
  /** Until this Live shows that commit. */
  reached(commit: number): Promise<void>;
  /** Asks again at once after an error. */
  retry(): void;
  /** Another part of the result; the old rows stay until it is there. */
  move(to: { offset?: number; limit?: number }): Promise<void>;
  /** The newest state each time; those between are skipped. */
  [Symbol.asyncIterator](): AsyncIterator<T>;
}

/** A query without a name. */
export interface QueryConfig {
  filter?: Filter;
  sort?: { [field: string]: "asc" | "desc" };
  limit?: number;
  offset?: number;
  fields?: string[];
  aggregate?: { function: "count" | "sum" | "avg" | "min" | "max"; field?: string; groupBy?: string | string[] };
}

/** What a Live takes, for optimistic inserts and updates. */
export interface Takes<R> {
  accepts?: (row: R) => boolean;
  place?: "start" | "end" | ((a: R, b: R) => number);
}

export interface Bucket<R = any, I = any, U = any, K = any> {
  insert(data: I, o?: WriteOptions): Promise<R>;
  get(key: K, o?: RequestOptions): Promise<R | null>;
  update(key: K, data: U | undefined, o?: ChangeOptions): Promise<R>;
  delete(key: K, o?: ChangeOptions): Promise<any>;
  upsert(data: I, o?: WriteOptions & { apply?: object; onInsert?: object }): Promise<R>;
  all(o?: RequestOptions): Promise<R[]>;
  find(config: QueryConfig, o?: RequestOptions): Promise<any>;
  where(filter: Filter, o?: RequestOptions): Promise<R[]>;
  findOne(filter: Filter, o?: RequestOptions): Promise<R | null>;
  count(filter?: Filter, o?: RequestOptions): Promise<number>;
  first(n: number, o?: RequestOptions): Promise<R[]>;
  last(n: number, o?: RequestOptions): Promise<R[]>;
  paginate(page: { limit: number; after?: K }, o?: RequestOptions): Promise<{ records: R[]; hasMore: boolean; nextCursor?: K }>;
  /** Page after page. */
  pages(limit: number): AsyncIterableIterator<R[]>;
  sum(field: string, filter?: Filter, o?: RequestOptions): Promise<number>;
  avg(field: string, filter?: Filter, o?: RequestOptions): Promise<number>;
  min(field: string, filter?: Filter, o?: RequestOptions): Promise<number | null>;
  max(field: string, filter?: Filter, o?: RequestOptions): Promise<number | null>;
  groupBy(field: string | string[], aggregate: { function: string; field?: string }, filter?: Filter, o?: RequestOptions): Promise<{ key: object; value: number }[]>;
  insertMany(data: I[], o?: WriteOptions): Promise<R[]>;
  updateMany(filter: Filter, data: U, o?: WriteOptions): Promise<number>;
  deleteMany(filter: Filter, o?: WriteOptions): Promise<number>;
  clear(o?: WriteOptions): Promise<any>;
  /** A defined query, bound to this bucket for optimistic changes. */
  live<T = R[]>(query: string, params?: object, takes?: Takes<R>): Live<T>;
  /** A query without a name. */
  live<T = R[]>(config?: QueryConfig, takes?: Takes<R>): Live<T>;
}

/** `db.store.defineBucket({ name, config })` sends `store.defineBucket` with these fields; every operation of the protocol is there. */
export type Operations = { [operation: string]: (fields?: object, o?: WriteOptions) => Promise<any> };

export interface PendingWrite {
  readonly n: number;
  readonly type: string;
  readonly fields: object;
  /** It may have reached the server. */
  readonly sent: boolean;
  /** Made by another user than the one who is logged in, and waits for him; or for whoever logs in next, where a login is missing. */
  readonly parked: boolean;
}

export interface User {
  userId: string;
  roles: string[];
  /** Milliseconds since 1970. */
  expiresAt: number | null;
}

/** A member of a type. */
type Of<T, M extends string> = T extends { [_ in M]: infer V } ? V : never;
/** Arguments: a value, which may be left out where nothing at all would do, then others that may. */
type Given<T, More extends unknown[] = []> = {} extends T ? [value?: T, ...more: Partial<More>] : [value: T, ...more: Partial<More>];

export interface Client<DB = AnyDB> {
  readonly status: "idle" | "connecting" | "online" | "waiting" | "closed";
  /** Why it waits or is closed. */
  readonly reason?: string;
  /** The first time online; rejects if closed before. */
  readonly ready: Promise<void>;
  readonly user: User | null;
  bucket<N extends keyof (DB extends { buckets: infer B } ? B : never)>(name: N): DB extends { buckets: infer B }
    ? B[N & keyof B] extends { record: infer R; insert: infer I; update: infer U; key: infer K } ? Bucket<R, I, U, K> : Bucket : Bucket;
  /** A defined query; its parameters, unless it has none. */
  live<N extends keyof Of<DB, "queries">>(query: N, ...params: Given<Of<Of<DB, "queries">[N], "params">>): Live<Of<Of<DB, "queries">[N], "result">>;
  view<N extends keyof (DB extends { views: infer V } ? V : never)>(name: N): Live<DB extends { views: infer V } ? V[N & keyof V][] : any[]>;
  /** A procedure; what it takes, unless it may be called without. */
  call<N extends keyof Of<DB, "procedures">>(name: N, ...input: Given<Of<Of<DB, "procedures">[N], "input">, [o: WriteOptions]>): Promise<Of<Of<DB, "procedures">[N], "output">>;
  /** All or nothing; the `data` of each operation's result. */
  transaction(operations: { op: string; bucket: string; [member: string]: unknown }[], o?: WriteOptions): Promise<unknown[]>;
  /** Events of the rule engine. Missed ones are not replayed: `onGap` says how many, `null` where nobody knows. */
  events(pattern: string, on: (event: any, topic: string) => void, onGap?: (lost: number | null) => void): () => void;
  /** Any operation by its name on the wire. */
  request(type: string, fields?: object, o?: WriteOptions): Promise<any>;
  /** Any operation that answers a `subscriptionId`, on this connection only. */
  watch(type: string, fields: object, on: (data: any) => void): Promise<() => void>;
  readonly store: Operations;
  readonly rules: Operations;
  readonly auth: Operations;
  readonly identity: Operations;
  readonly access: Operations;
  readonly procedures: Operations;
  readonly logic: Operations;
  readonly audit: Operations;
  readonly server: Operations;
  login(credentials: { token: string } | { username: string; password: string } | { secret: string }): Promise<User>;
  logout(): Promise<void>;
  /** Changes without an answer. */
  pending(): PendingWrite[];
  on(event: "status", fn: (status: Client["status"], reason?: string) => void): () => void;
  on(event: "user", fn: (user: User | null) => void): () => void;
  on(event: "error", fn: (error: NoexdError) => void): () => void;
  on(event: "write", fn: (write: { n: number; type: string; state: "done" | "rejected"; error?: NoexdError }) => void): () => void;
  on(event: "system", fn: (message: any) => void): () => void;
  /** Results and how to go on from them, as JSON, for `hydrate`. */
  snapshot(): object;
  /** Closes for good: what waits is rejected, Lives keep their data. */
  close(): Promise<void>;
}

/** Returns at once; requests wait for the connection. Without a URL: the server that this file came from. */
export function connect<DB = AnyDB>(url?: string | URL, options?: Options): Client<DB>;
