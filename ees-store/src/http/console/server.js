// The server: its version, what this key may do, whether it is ready, its metrics.

import { health, jsonIfAny, may, processes, text } from "./api.js";
import { card, draw, facts, foreign, h, lazily } from "./dom.js";
import { poll } from "./screen.js";
import { settings } from "./settings.js";

export function show(root, _, signal) {
  let hasDocs = null;
  let told = null;
  return poll(signal, async () => {
    hasDocs ??= (await fetch("../docs/", { method: "HEAD", signal }).catch(() => null))?.ok ?? false;
    // They don't change while the server runs.
    told ??= may.admin ? await jsonIfAny("settings", { signal }).catch(() => null) : null;
    const servers = await Promise.all(processes.map((process) => ask(process, signal)));
    const scopes = Object.keys(may).filter((scope) => may[scope]);
    draw(root,
      h("h1", { tabindex: "-1" }, "Server"),
      servers.map(({ process, version, ready }) => card(processes.length > 1 ? `Process ${process.url}` : "Status", { "data-key": process.url },
        facts([
          ["Address", foreign(process.url)],
          ["Version", version && version.version],
          ["Readiness", h("span", { class: `mark ${ready?.status === "ready" ? "good" : "standing"}` }, ready?.status ?? "no answer")],
          ["You may", scopes.length > 0 ? scopes.join(", ") : "nothing with this key"],
        ]),
        (ready?.reasons ?? [ready?.reason ?? ready?.message]).filter(Boolean).map((reason) => h("p", { class: "problem failing" }, foreign(reason))))),
      (hasDocs || may.read) && card("More", null,
        hasDocs && h("p", null, h("a", { href: "../docs/" }, "The API, described")),
        may.read && processes.map((process) => lazily({ id: process.at === "" && "metrics", "data-key": process.url },
          processes.length > 1 ? `Metrics of ${process.url}` : "Metrics", signal, (reading) => metrics(process, reading)))),
      told && settings(told));
  });
}

/** What a process says of itself. One that does not answer says why. */
async function ask(process, signal) {
  const version = may.read ? jsonIfAny(`${process.at}version`, { signal }).catch(() => null) : null;
  return { process, version: await version, ready: await health(process, signal) };
}

async function metrics(process, signal) {
  return h("pre", { tabindex: "0" }, await text(`${process.at}metrics`, { signal }));
}
