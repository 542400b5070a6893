// The tabs beside Now. They are served as one file: what they have in common is
// packed once, which saves a quarter.
export { default as audit } from "./audit.js";
export { default as backups } from "./backups.js";
export { default as data } from "./data.js";
export { default as logic } from "./logic.js";
export { default as people } from "./people.js";
export { default as play } from "./play.js";
export { default as rules } from "./rules.js";
export { default as slow } from "./slow.js";
export { default as views } from "./views.js";
// Looked at by tests.
export { matching } from "./people.js";
export { sheet } from "./transfer.js";
