// The server: its version, what this key may do, whether it is ready, its metrics.

import { health, jsonIfAny, may, processes, request, scopesOf, text } from "./api.js";
import { card, draw, facts, foreign, h, lazily } from "./dom.js";
import { poll } from "./screen.js";
import { deadLetters, settings } from "./settings.js";

export function show(root, _, signal) {
  let hasDocs = null;
  let told = null;
  return poll(signal, async () => {
    hasDocs ??= (await request("../docs/", { method: "HEAD", signal }).catch(() => null))?.ok ?? false;
    // They don't change while the server runs.
    told ??= may("admin") ? await jsonIfAny("settings", { signal }).catch(() => null) : null;
    const servers = await Promise.all(processes.map((process) => ask(process, signal)));
    draw(root,
      h("h1", { tabindex: "-1" }, "Server"),
      servers.map(({ process, version, ready }) => card(processes.length > 1 ? `Process ${process.url}` : "Status", { "data-key": process.url },
        facts([
          ["Address", foreign(process.url)],
          ["Version", version && version.version],
          ["Readiness", h("span", { class: `mark ${ready?.status === "ready" ? "good" : "standing"}` }, ready?.status ?? "no answer")],
          ["You may", allowed(scopesOf(process))],
        ]),
        (ready?.reasons ?? [ready?.reason ?? ready?.message]).filter(Boolean).map((reason) => h("p", { class: "problem failing" }, foreign(reason))))),
      (hasDocs || processes.some((process) => may("read", process))) && card("More", null,
        hasDocs && h("p", null, h("a", { href: "../docs/" }, "The API, described")),
        processes.filter((process) => may("read", process)).map((process) => lazily({ id: process.at === "" && "metrics", "data-key": process.url },
          processes.length > 1 ? `Metrics of ${process.url}` : "Metrics", signal, (reading) => metrics(process, reading)))),
      told && settings(told), told && deadLetters(told, signal));
  });
}

function allowed(scopes) {
  if (scopes === null) return "unknown: it did not answer";
  return scopes.join(", ") || "nothing with this key";
}

/** What a process says of itself. One that does not answer says why. */
async function ask(process, signal) {
  const version = may("read", process) ? jsonIfAny(`${process.at}version`, { signal }).catch(() => null) : null;
  return { process, version: await version, ready: await health(process, signal) };
}

async function metrics(process, signal) {
  return h("pre", { tabindex: "0" }, await text(`${process.at}metrics`, { signal }));
}
