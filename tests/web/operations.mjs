import { file } from "./chromium.mjs";

/** The names of the table in src/protocol/operation.rs. */
export async function Operations() {
  const table = await file("src/protocol/operation.rs");
  return [...table.matchAll(/^ +\w+ "(\w+\.\w+)" /gm)].map(([, name]) => name);
}
