// Numbers and times for people.

import { h } from "./dom.js";

export function count(number) {
  return Number(number).toLocaleString("en");
}

export function plural(number, one, many = `${one}s`) {
  return `${count(number)} ${Number(number) === 1 ? one : many}`;
}

export function rate(perSecond) {
  const digits = perSecond > 0 && perSecond < 10 ? 1 : 0;
  return `${perSecond.toLocaleString("en", { maximumFractionDigits: digits })} /s`;
}

export function duration(seconds) {
  if (seconds < 0.05) return "0 s";
  if (seconds < 10) return `${seconds.toFixed(1)} s`;
  if (seconds < 120) return `${Math.round(seconds)} s`;
  if (seconds < 2 * 3600) return `${Math.round(seconds / 60)} min`;
  if (seconds < 48 * 3600) return `${Math.round(seconds / 3600)} h`;
  return `${Math.round(seconds / 86400)} days`;
}

/** A time, in the reader's time zone; how long ago beside it. */
export function time(text) {
  const at = new Date(text);
  if (Number.isNaN(at.getTime())) return h("span", null, text);
  const two = (number) => String(number).padStart(2, "0");
  const day = `${at.getFullYear()}-${two(at.getMonth() + 1)}-${two(at.getDate())}`;
  const clock = `${two(at.getHours())}:${two(at.getMinutes())}:${two(at.getSeconds())}`;
  return h("time", { datetime: text, title: text }, `${day} ${clock}`);
}

/** A time, and how far it is from now. */
export function since(text) {
  const seconds = (Date.now() - new Date(text).getTime()) / 1000;
  const distance = seconds >= 0 ? `${duration(seconds)} ago` : `in ${duration(-seconds)}`;
  return h("span", null, time(text), ` (${distance})`);
}

export function bytes(number) {
  const units = ["B", "KB", "MB", "GB", "TB"];
  let at = 0;
  let size = number;
  while (size >= 1000 && at < units.length - 1) {
    size /= 1000;
    at += 1;
  }
  return `${size.toLocaleString("en", { maximumFractionDigits: 1 })} ${units[at]}`;
}

/** Whether a text is a whole number, of any length. */
export function isWhole(text) {
  return /^\d+$/.test(text);
}
