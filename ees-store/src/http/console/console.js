// The console: begins with what the server has and the key may do, then shows the screen that the address names.

import { changeKey, explore, forgetKey, has, hasKey, processes, scopesOf, showRemote, useKey, whenKeyChanges } from "./api.js";
import * as audit from "./audit.js";
import { button, card, draw, foreign, h } from "./dom.js";
import * as log from "./log.js";
import * as overview from "./overview.js";
import * as projections from "./projections.js";
import * as reactors from "./reactors.js";
import { arrived, complain, expect } from "./screen.js";
import * as server from "./server.js";
import * as streams from "./streams.js";

const SCREENS = {
  overview: { label: "Overview", screen: overview, isThere: () => has.projections || has.log },
  projections: { label: "Projections", screen: projections, isThere: () => has.projections },
  reactors: { label: "Reactors", screen: reactors, isThere: () => has.projections },
  log: { label: "Log", screen: log, isThere: () => has.log },
  streams: { label: "Streams", screen: streams, isThere: () => has.log },
  audit: { label: "Audit", screen: audit, isThere: () => has.projections },
  server: { label: "Server", screen: server, isThere: () => true },
};

const main = document.getElementById("main");
let banner = null;
/** Whether the address may bring a key: that of `ees console` does. */
let takesKey = false;
let shown = new AbortController();

function place() {
  const [path, query = ""] = location.hash.replace(/^#\/?/, "").split(/\?(.*)/s);
  const [name, ...rest] = path.split("/");
  const isKnown = Object.hasOwn(SCREENS, name) && SCREENS[name].isThere();
  return { name: isKnown ? name : first(), id: rest.length > 0 && isKnown ? decoded(rest.join("/")) : null, query: new URLSearchParams(query) };
}

function first() {
  return Object.keys(SCREENS).find((name) => SCREENS[name].isThere());
}

function decoded(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

async function show() {
  shown.abort();
  shown = new AbortController();
  const { signal } = shown;
  const { name, id, query } = place();
  const { label, screen } = SCREENS[name];
  document.title = [banner?.name, label, "ees"].filter(Boolean).join(" · ");
  drawNav(name);
  complain("");
  expect();
  // A root of its own: a screen that ends late draws where nobody sees it.
  const root = h("div", { class: "screen" });
  main.replaceChildren(root);
  try {
    await screen.show(root, { id: id === "" ? null : id, query }, signal);
  } catch (error) {
    if (signal.aborted) return;
    draw(root, h("h1", { tabindex: "-1" }, label), card("It can't be shown", null, h("p", null, foreign(error.message))));
    arrived();
  }
}

function drawNav(current) {
  const links = Object.entries(SCREENS).filter(([, { isThere }]) => isThere());
  draw(document.getElementById("nav"), h("ul", null, links.map(([name, { label }]) => h("li", null,
    h("a", { href: `#/${name}`, "aria-current": name === current ? "page" : null }, label)))));
}

function drawSession(needsKey) {
  const forget = () => {
    forgetKey();
    begin();
  };
  const known = new Set(processes.map(scopesOf).filter((scopes) => scopes !== null).map((scopes) => scopes.join(", ") || "no scope"));
  draw(document.getElementById("session"),
    hasKey() && h("span", { class: "quiet-text" }, `Key: ${known.size > 1 ? "each server allows something else" : [...known].join()} `),
    hasKey() && button("Forget the key", forget),
    needsKey && !hasKey() && button("Enter a key", changeKey, { class: "primary" }));
}

function drawBanner() {
  const element = document.getElementById("banner");
  element.hidden = banner === null;
  if (banner === null) return;
  element.textContent = banner.name;
  element.style.backgroundColor = banner.color;
  const [red, green, blue] = [1, 3, 5].map((at) => parseInt(banner.color.slice(at, at + 2), 16));
  element.style.color = 0.299 * red + 0.587 * green + 0.114 * blue > 150 ? "#000" : "#fff";
}

async function begin() {
  try {
    await explore();
    drawSession(false);
    await show();
  } catch (error) {
    shown.abort();
    drawSession(error.status === 401);
    draw(document.getElementById("nav"));
    main.replaceChildren(h("div", { class: "screen" }, h("h1", { tabindex: "-1" }, error.status === 401 ? "A key is needed" : "The server does not answer"),
      card("Why", null, h("p", null, foreign(error.message)), error.status !== 401 && button("Try again", begin))));
    expect();
    arrived();
  }
}

/**
 * Takes the key out of the address that `ees console` printed: it is to stay neither there nor in the history of the
 * browser. Returns whether there was one.
 */
function takeKey() {
  const given = /^#key=(\w+)$/.exec(location.hash)?.[1];
  if (given === undefined || !takesKey) return false;
  history.replaceState(null, "", location.pathname);
  useKey(given);
  return true;
}

whenKeyChanges(begin);
document.getElementById("skip").onclick = (event) => {
  event.preventDefault();
  main.focus();
};
addEventListener("hashchange", () => {
  // What a dialog is about is not shown any more.
  document.querySelectorAll("dialog").forEach((dialog) => dialog.close());
  document.getElementById("notice").replaceChildren();
  if (takeKey()) begin();
  else show();
});
const config = await fetch("config.json").then((response) => response.json()).catch(() => ({ banner: null }));
banner = config.banner;
takesKey = Boolean(config.servers);
if (takesKey) showRemote(config.servers);
takeKey();
drawBanner();
document.title = [banner?.name, "ees"].filter(Boolean).join(" · ");
begin();
