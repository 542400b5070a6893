// Hooks for React and whatever has its interface: `createHooks(React)`.

const NOTHING = Object.freeze({ data: undefined, status: "loading" });
const never = () => () => {};

export function createHooks({ useCallback, useSyncExternalStore }) {
  /** The snapshot of a Live; `null` (nothing asked for yet) is `loading`. */
  function useLive(live) {
    const subscribe = useCallback((fn) => (live ? live.subscribe(fn) : never()), [live]);
    const get = () => (live ? live.snapshot() : NOTHING);
    return useSyncExternalStore(subscribe, get, get);
  }

  /** The data itself: suspends until it is there, throws what refuses it. */
  function useSuspenseLive(live) {
    const { data, error } = useLive(live);
    if (data !== undefined) return data;
    if (error) throw error;
    throw live.loaded();
  }

  const useEvent = (db, event, get, atServer) =>
    useSyncExternalStore(useCallback((fn) => db.on(event, fn), [db, event]), get, atServer);
  const useStatus = (db) => useEvent(db, "status", () => db.status, () => "idle");
  const useUser = (db) => useEvent(db, "user", () => db.user, () => null);
  return { useLive, useSuspenseLive, useStatus, useUser };
}
