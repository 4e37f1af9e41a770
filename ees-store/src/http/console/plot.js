// Values over time: a line with its highest value, and the same in words.

import { h } from "./dom.js";
import { duration } from "./words.js";

const SVG = "http://www.w3.org/2000/svg";
const WIDTH = 300;
const HEIGHT = 60;

function shape(tag, attributes, ...children) {
  const element = document.createElementNS(SVG, tag);
  Object.entries(attributes).forEach(([name, value]) => element.setAttribute(name, value));
  element.append(...children);
  return element;
}

/** A small line through values, from the oldest to the newest, with what it says in words. */
export function line(values, label) {
  const highest = Math.max(...values, 1);
  const points = values.map((value, at) => `${(at * 96) / Math.max(1, values.length - 1) + 2},${22 - (value / highest) * 20}`);
  return shape("svg", { viewBox: "0 0 100 24", class: "line", role: "img", "aria-label": label }, shape("polyline", { points: points.join(" ") }));
}

/** The runs of values between gaps, each as the points of a line. */
function lines(values, highest) {
  const runs = [[]];
  values.forEach((value, at) => {
    const x = (at * WIDTH) / Math.max(1, values.length - 1);
    const y = HEIGHT - 2 - (value / highest) * (HEIGHT - 4);
    if (value === null) runs.push([]);
    else runs.at(-1).push(`${x.toFixed(1)},${y.toFixed(1)}`);
  });
  return runs.filter((run) => run.length > 1);
}

/** A plot of values, `null` where there is none; `inWords` writes one of them. Nothing before there are two. */
export function plot(title, times, values, inWords) {
  const known = values.filter((value) => value !== null);
  if (known.length < 2) return null;
  const highest = Math.max(...known);
  const since = duration((Date.now() - new Date(times[0]).getTime()) / 1000);
  const label = `${title} over the last ${since}: now ${inWords(known.at(-1))}, at least ${inWords(Math.min(...known))}, at most ${inWords(highest)}`;
  return h("figure", { class: "plot", "data-key": title },
    h("figcaption", null, h("span", null, title), h("strong", null, inWords(known.at(-1)))),
    shape("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: "none", role: "img", "aria-label": label },
      ...lines(values, highest || 1).map((points) => shape("polyline", { points: points.join(" ") }))),
    h("small", { "aria-hidden": "true" }, h("span", null, `${since} ago`), h("span", null, `at most ${inWords(highest)}`)));
}
