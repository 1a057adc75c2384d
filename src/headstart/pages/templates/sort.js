"use strict";
// Makes each heading of a table a button that sorts by its column; unknown numbers stay last.
const collator = new Intl.Collator(undefined, { numeric: true });
const orderOf = (cell) => "order" in cell.dataset
  ? (cell.dataset.order === "" ? null : Number(cell.dataset.order)) : cell.textContent.trim();

function sort(table, column, direction) {
  const body = table.tBodies[0], sign = direction === "descending" ? -1 : 1;
  const rows = [...body.rows].map((row) => [orderOf(row.cells[column]), row]);
  rows.sort(([one], [other]) => {
    if (one === null || other === null) return (one === null) - (other === null);
    return sign * (typeof one === "number" ? one - other : collator.compare(one, other));
  });
  body.append(...rows.map(([, row]) => row));
  [...table.tHead.rows[0].cells].forEach((head, index) => {
    if (index === column) head.setAttribute("aria-sort", direction);
    else head.removeAttribute("aria-sort");
  });
}

for (const table of document.querySelectorAll("table.sortable")) {
  [...table.tHead.rows[0].cells].forEach((head, column) => {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...head.childNodes);
    head.append(button);
    button.addEventListener("click", () => {
      const up = head.getAttribute("aria-sort") === "ascending";
      sort(table, column, up ? "descending" : "ascending");
    });
  });
}
