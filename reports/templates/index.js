"use strict";
(() => {
  const table = document.querySelector("table.index");
  if (!table) return;
  const heads = [...table.querySelectorAll("thead th")];
  heads.forEach((head, column) => {
    const button = head.querySelector("button");
    if (!button) return;
    button.addEventListener("click", () => {
      const up = head.getAttribute("aria-sort") !== "ascending";
      heads.forEach((other) => other.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", up ? "ascending" : "descending");
      const key = (row) => row.cells[column].dataset.sort;
      const numeric = head.dataset.kind === "number";
      const rows = [...table.tBodies[0].rows];
      rows.sort((a, b) => (numeric ? key(a) - key(b) : key(a).localeCompare(key(b), "en", { numeric: true })) * (up ? 1 : -1));
      table.tBodies[0].append(...rows);
    });
  });
})();
