// The report's own program, which needs no map: it makes headers into buttons that sort their tables, and the header's buttons
// work. Whatever is a button is made or shown here, so that where no program runs none is dead.
"use strict";
const spoken = document.getElementById("spoken");
const collator = new Intl.Collator("en", { numeric: true });
const orders = new WeakMap();
const MISSING = new Set(["", "–"]);

// What a cell is sorted by: numbers and times as the page holds them, not as it shows them. Null: missing.
function keyOf(cell, isNumber) {
  const { value } = cell.dataset;
  if (isNumber) return value === undefined ? null : Number(value);
  const text = value ?? (cell.querySelector("bdi") ?? cell).textContent.trim();
  return MISSING.has(text) ? null : text;
}

// A click sorts by a column, numbers from the largest, places from the first and text from A; a second one turns that round,
// and a third brings back the report's own order. What is missing comes last either way, and rows that are equal keep their own order.
function sortable(table) {
  const bodies = [...table.tBodies].map((body) => [body, [...body.rows]]);
  const all = bodies.flatMap(([, rows]) => rows);
  const sums = all.filter((row) => row.matches(".sum"));
  const tiers = all.filter((row) => row.matches(".tier"));
  const rows = all.filter((row) => !row.matches(".sum, .tier"));
  if (rows.length < 2) return;
  const headers = [...table.tHead.rows[0].cells].filter((header) => !header.matches(".unsorted"));

  function order(header, direction) {
    for (const each of headers) each.removeAttribute("aria-sort");
    for (const [body, own] of bodies) body.append(...own);
    // Tiers are of the report's own order.
    for (const row of tiers) row.hidden = direction !== null;
    if (direction === null) return;
    header.setAttribute("aria-sort", direction);
    const isNumber = header.matches(".n");
    const way = direction === "ascending" ? 1 : -1;
    const keyed = rows.map((row) => [keyOf(row.cells[header.cellIndex], isNumber), row]);
    keyed.sort(([one], [other]) => {
      if (one === null || other === null) return (one === null) - (other === null);
      return way * (isNumber ? one - other : collator.compare(one, other));
    });
    bodies[0][0].append(...keyed.map(([, row]) => row), ...sums);
  }

  orders.set(table, order);
  for (const header of headers) {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...header.childNodes);
    header.append(button);
    const ways = header.matches(".n:not(.place)") ? ["descending", "ascending"] : ["ascending", "descending"];
    button.addEventListener("click", () => {
      const direction = [...ways, null][ways.indexOf(header.getAttribute("aria-sort")) + 1];
      order(header, direction);
      spoken.textContent =
        direction === null ? "In the report's own order." : `Sorted by ${button.textContent.trim()}, ${direction}.`;
    });
  }
}

for (const table of document.querySelectorAll("table.sorts")) sortable(table);

// Paper has the report's own order, so that all copies of it are alike.
let onScreen = [];
addEventListener("beforeprint", () => {
  onScreen = [...document.querySelectorAll("th[aria-sort]")].map((header) => [header, header.getAttribute("aria-sort")]);
  for (const [header] of onScreen) orders.get(header.closest("table"))(header, null);
});
addEventListener("afterprint", () => {
  for (const [header, direction] of onScreen) orders.get(header.closest("table"))(header, direction);
});

const actions = document.getElementById("actions");
const copied = document.getElementById("copied");
const citation = document.querySelector("#cite + p");
actions.hidden = false;
document.getElementById("print").addEventListener("click", () => print());
document.getElementById("copy").addEventListener("click", async () => {
  try {
    await navigator.clipboard.writeText(citation.textContent.trim());
    copied.textContent = "The citation is copied.";
  } catch {
    // A browser may keep the clipboard to itself: then the text is shown and marked, ready to be copied by hand.
    location.hash = "cite";
    getSelection().selectAllChildren(citation);
    copied.textContent = "This browser does not let the page copy: the citation is marked.";
  }
});
