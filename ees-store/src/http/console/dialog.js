// A dialog that says what will happen, asks for what is needed, and does it.

import { button, foreign, h } from "./dom.js";
import { complain } from "./screen.js";

/**
 * Asks, and runs `run(values)` when it is confirmed. An error stays in the dialog. Returns whether it was done.
 *
 * What runs can't be cancelled. A dialog that is closed meanwhile, with its screen, still returns the outcome.
 *
 * A field has `name`, `label` and `type`, and may have `value`, `required`, `hint`, `min`, `max`.
 */
export function ask({ title, sentence, fields = [], confirm, isDangerous = false, run }) {
  return new Promise((resolve) => {
    const inputs = fields.map((field, at) => ({ field, input: input(field, at === 0) }));
    const trouble = h("p", { class: "trouble", role: "alert" });
    const go = h("button", { type: "submit", class: isDangerous ? "danger" : "primary" }, confirm);
    const cancel = button("Cancel", () => dialog.close());
    const form = h("form", { novalidate: true },
      h("h2", { id: "dialog-title" }, title),
      h("p", { id: "dialog-text", class: "sentence" }, sentence),
      inputs.map(({ field, input }) => row(field, input)),
      trouble,
      h("div", { class: "actions" }, go, cancel));
    const dialog = h("dialog", { "aria-labelledby": "dialog-title", "aria-describedby": "dialog-text" }, form);
    let isDone = false;
    const setRunning = (now) => {
      go.disabled = now;
      cancel.disabled = now;
    };
    form.onsubmit = async (event) => {
      event.preventDefault();
      const missing = inputs.find(({ field, input }) => field.required && input.value.trim() === "");
      if (missing) {
        trouble.replaceChildren(`${missing.field.label} is missing.`);
        missing.input.focus();
        return;
      }
      setRunning(true);
      trouble.replaceChildren();
      try {
        await run(Object.fromEntries(inputs.map(({ field, input }) => [field.name, valueOf(field, input)])));
        isDone = true;
      } catch (error) {
        trouble.replaceChildren(foreign(error.message));
        if (!dialog.open) complain(`${confirm}: ${error.message}`);
      }
      setRunning(false);
      if (!dialog.open) resolve(isDone);
      else if (isDone) dialog.close();
    };
    dialog.oncancel = (event) => {
      if (go.disabled) event.preventDefault();
    };
    dialog.onclose = () => {
      dialog.remove();
      if (!go.disabled) resolve(isDone);
    };
    document.body.append(dialog);
    dialog.showModal();
  });
}

function input(field, isFirst) {
  const attributes = {
    id: `field-${field.name}`,
    name: field.name,
    autofocus: isFirst,
    "aria-describedby": field.hint ? `hint-${field.name}` : null,
    "aria-required": field.required ? "true" : null,
  };
  if (field.type === "select") {
    const options = field.options.map(([value, label]) => h("option", { value }, label));
    return h("select", attributes, options);
  }
  if (field.type === "textarea") {
    return h("textarea", { ...attributes, rows: field.rows ?? 3, maxlength: field.max, spellcheck: "false", value: field.value });
  }
  if (field.type === "checkbox") return h("input", { ...attributes, type: "checkbox" });
  const isNumber = field.type === "number";
  return h("input", {
    ...attributes,
    type: isNumber ? "text" : field.type,
    inputmode: isNumber ? "numeric" : null,
    autocomplete: "off",
    spellcheck: "false",
    value: field.value,
  });
}

function row(field, input) {
  const hint = field.hint && h("small", { id: `hint-${field.name}` }, field.hint);
  const label = h("label", { for: input.id }, field.label);
  return field.type === "checkbox"
    ? h("div", { class: "check" }, input, h("div", null, label, hint))
    : h("div", { class: "field" }, label, hint, input);
}

function valueOf(field, input) {
  if (field.type === "checkbox") return input.checked;
  if (field.type !== "number") return input.value;
  if (!field.required && input.value.trim() === "") return null;
  if (!/^\d+$/.test(input.value.trim())) throw new Error(`${field.label} must be a whole number.`);
  const number = Number(input.value.trim());
  if (!Number.isSafeInteger(number)) throw new Error(`${field.label} is too large for a browser. Use the command ees.`);
  return number;
}
