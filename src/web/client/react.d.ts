import type { Hooks } from "./hooks.js";

export const useLive: Hooks["useLive"];
export const useSuspenseLive: Hooks["useSuspenseLive"];
export const useStatus: Hooks["useStatus"];
export const useUser: Hooks["useUser"];
