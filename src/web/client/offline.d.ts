/** A queue in IndexedDB, for the option `queue` of `connect`. What it keeps is sent by this page, the next one, or another one of the same origin. */
export function offlineQueue(name: string): object;
