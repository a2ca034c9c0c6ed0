"use strict";
// Tables are sorted by their titles and filtered by words. Without this script they are
// read as they are.

const MANY = 8; // rows from which a filter is offered

function value(cell) {
  if (!cell) return "";
  const text = cell.dataset.v ?? cell.textContent.trim();
  const number = Number(text);
  return text === "" || Number.isNaN(number) ? text : number;
}

function order(a, b) {
  if ((a === "") !== (b === "")) return null; // what is missing stays last
  if (typeof a === "number" && typeof b === "number") return a - b;
  return String(a).localeCompare(String(b));
}

function sort(table, title, column) {
  const up = title.getAttribute("aria-sort") !== "ascending";
  for (const other of title.parentNode.cells) other.removeAttribute("aria-sort");
  title.setAttribute("aria-sort", up ? "ascending" : "descending");
  const body = table.tBodies[0];
  const rows = Array.from(body.rows, (row) => [value(row.cells[column]), row]);
  rows.sort(([a], [b]) => order(a, b) === null
    ? (a === "") - (b === "") : (up ? 1 : -1) * order(a, b));
  body.append(...rows.map(([, row]) => row));
}

function offerFilter(place, items, what) {
  const box = document.createElement("p");
  const input = document.createElement("input");
  const shown = document.createElement("output");
  box.className = "filter";
  input.type = "search";
  input.placeholder = `Filter ${what}`;
  input.setAttribute("aria-label", input.placeholder);
  input.addEventListener("input", () => {
    const words = input.value.toLowerCase().split(/\s+/).filter(Boolean);
    let count = 0;
    for (const item of items) {
      const text = item.textContent.toLowerCase();
      item.hidden = !words.every((word) => text.includes(word));
      count += !item.hidden;
    }
    shown.value = words.length ? `${count} of ${items.length}` : "";
  });
  box.append(input, shown);
  place.before(box);
}

for (const table of document.querySelectorAll("table.sortable")) {
  Array.from(table.tHead.rows[0].cells).forEach((title, column) => {
    const button = document.createElement("button");
    button.type = "button";
    button.title = "Sort by this column";
    button.append(...title.childNodes);
    button.addEventListener("click", () => sort(table, title, column));
    title.append(button);
  });
  const rows = Array.from(table.tBodies[0].rows);
  if (rows.length >= MANY) offerFilter(table.parentNode, rows, "rows");
}

const workloads = Array.from(document.querySelectorAll("details.workload"));
if (workloads.length >= MANY) offerFilter(workloads[0], workloads, "workloads");

function reveal() {
  const target = document.getElementById(location.hash.slice(1));
  target?.closest("details")?.setAttribute("open", "");
  target?.scrollIntoView();
}
addEventListener("hashchange", reveal);
if (location.hash) reveal();
