// The server: its version, what this key may do, whether it is ready, its metrics.

import { jsonIfAny, may, text } from "./api.js";
import { card, details, draw, facts, foreign, h } from "./dom.js";
import { poll } from "./screen.js";
import { settings } from "./settings.js";

export function show(root, _, signal) {
  let hasDocs = null;
  let told = null;
  return poll(signal, async () => {
    hasDocs ??= (await fetch("../docs/", { method: "HEAD", signal }).catch(() => null))?.ok ?? false;
    // They don't change while the server runs.
    told ??= may.admin ? await jsonIfAny("settings", { signal }) : null;
    const [version, ready] = await Promise.all([
      may.read ? jsonIfAny("version", { signal }) : null,
      fetch("../health/ready", { signal, cache: "no-store" }).then((response) => response.json()),
    ]);
    const scopes = Object.keys(may).filter((scope) => may[scope]);
    draw(root,
      h("h1", { tabindex: "-1" }, "Server"),
      card("Status", null, facts([
        ["Address", location.host],
        ["Version", version && version.version],
        ["Readiness", h("span", { class: `mark ${ready.status === "ready" ? "good" : "standing"}` }, ready.status)],
        ["You may", scopes.length > 0 ? scopes.join(", ") : "nothing with this key"],
      ])),
      (ready.reasons ?? (ready.reason ? [ready.reason] : [])).map((reason) => h("p", { class: "problem failing" }, foreign(reason))),
      (hasDocs || may.read) && card("More", null,
        hasDocs && h("p", null, h("a", { href: "../docs/" }, "The API, described")),
        may.read && details({ id: "metrics" }, "Metrics", metrics)),
      told && settings(told));
  });
}

function metrics() {
  const place = h("pre", { tabindex: "0" }, "Loading …");
  text("metrics").then((answer) => { place.textContent = answer; }, (error) => { place.textContent = error.message; });
  return place;
}
