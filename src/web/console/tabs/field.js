// A field of a form, by the type that a schema or a value says.
import { html, parse, pretty, text, useState } from "../ui.js";

export default function Field({ name, type, value, onInput, isKey }) {
  const id = `field-${name}`;
  const common = { id, disabled: isKey, "aria-label": name };
  if (type?.enum) return html`<select ...${common} value=${JSON.stringify(value)} onChange=${(event) => onInput(event.target.value === "" ? null : JSON.parse(event.target.value))}>${value == null && html`<option value="">–</option>`}${type.enum.map((one) => html`<option value=${JSON.stringify(one)}>${text(one)}</option>`)}</select>`;
  if (type?.type == "boolean" || typeof value == "boolean") return html`<input ...${common} type="checkbox" checked=${!!value} onChange=${(event) => onInput(event.target.checked)} />`;
  if (type?.type == "number" || (typeof value == "number" && !type)) return html`<input ...${common} class="mono" inputmode="decimal" value=${value ?? ""} onInput=${(event) => { const typed = event.target.value.trim(); onInput(typed === "" ? null : Number.isNaN(Number(typed)) ? typed : Number(typed)); }} />`;
  if ((type && /object|array/.test(type.type)) || (value && typeof value == "object")) return html`<${JsonField} common=${common} value=${value} onInput=${onInput} />`;
  return html`<input ...${common} class="mono" value=${value ?? ""} onInput=${(event) => onInput(event.target.value)} />`;
}
function JsonField({ common, value, onInput }) {
  const [source, set] = useState(() => pretty(value ?? null));
  const { issue } = parse(source);
  return html`<textarea ...${common} rows="4" value=${source} aria-invalid=${issue ? "true" : undefined} onInput=${(event) => { set(event.target.value); const found = parse(event.target.value); if (!found.issue) onInput(found.value); }}></textarea>`;
}
