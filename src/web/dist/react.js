import*as e from"react";import{createHooks as s}from"./hooks.js";export let{useLive,useSuspenseLive,useStatus,useUser}=s(e);
