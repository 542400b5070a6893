import type { Client, Live, Snapshot, User } from "./noexd.js";

/** What is needed of React: `createHooks(React)`; Preact's compat has it too. */
export interface ReactLike {
  useCallback: any;
  useSyncExternalStore: any;
}

export interface Hooks {
  /** The snapshot of a Live, which may be made in the render; `null` is `loading`. */
  useLive<T>(live: Live<T> | null): Snapshot<T>;
  /** The data; suspends until it is there, throws to the error boundary what refuses it. */
  useSuspenseLive<T>(live: Live<T>): T;
  useStatus(db: Client<any>): Client["status"];
  useUser(db: Client<any>): User | null;
}

export function createHooks(react: ReactLike): Hooks;
