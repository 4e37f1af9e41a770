// Reactors: their list, and the page of one.

import { list, page } from "./projections.js";

export function show(root, { id, query }, signal) {
  return id === null ? list(root, "reactor", signal) : page(root, id, query, signal);
}
