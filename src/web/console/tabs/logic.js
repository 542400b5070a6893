import { html } from "../ui.js";
export default () => html`<div class="tab"><p>Not yet.</p></div>`;
