// The table of scans: DataTables, with buttons that choose a state, a verdict or a part.
(() => {
  "use strict";
  const told = JSON.parse(document.getElementById("data").textContent);
  const DataTable = globalThis.lungsegTables.default;
  const narrow = matchMedia("(max-width: 640px)").matches;
  const text = DataTable.render.text().display;
  const RANK = { failed: 0, suspect: 1, skipped: 2, "not done": 3, good: 4, done: 5 };

  // Every value goes into the page as text: an id may hold anything.
  const cells = {
    scan: (value, kind, row) => {
      if (kind !== "display") return `${value} ${row[1]}`;
      const link = document.createElement("a");
      link.href = `scans/${encodeURIComponent(row[0])}/index.html`;
      link.textContent = value;
      link.title = row[1];
      return link;
    },
    badge: (value, kind) => {
      if (kind === "sort" || kind === "type") return RANK[value] ?? 9;
      if (kind !== "display" || !value) return value;
      const badge = document.createElement("span");
      badge.className = `badge ${value.replace(" ", "-")}`;
      badge.textContent = value;
      return badge;
    },
    number: (value, kind) => {
      if (value === null) return kind === "display" ? "" : -Infinity;
      return kind === "display" ? value.toLocaleString("en", { maximumFractionDigits: 4 }) : value;
    },
    text: (value, kind) => (kind === "display" ? text(value ?? "") : value ?? ""),
    // Two lines of it in the table; all of it under the pointer, in print and on its page.
    long: (value, kind) => {
      if (kind !== "display" || !value) return value ?? "";
      const told = document.createElement("div");
      told.textContent = told.title = value;
      return told;
    },
  };

  const columns = told.columns.map((column, k) => ({
    title: column.title,
    data: k + 2,
    name: column.key,
    render: cells[column.kind],
    className: column.kind === "number" ? "n" : column.long ? "long" : "",
  }));
  const table = new DataTable("#scans", {
    data: told.rows,
    columns,
    deferRender: true,
    order: [],
    autoWidth: false,
    pageLength: narrow ? 10 : 25,
    lengthMenu: [10, 25, 100, 500],
    layout: { topStart: "search", topEnd: "pageLength", bottomStart: "info", bottomEnd: "paging" },
    language: {
      search: "Search", lengthMenu: "_MENU_ a page", info: "_START_ to _END_ of _TOTAL_ scans",
      infoEmpty: "no scan", infoFiltered: "(of _MAX_)", zeroRecords: "no scan is like that", emptyTable: "no scan",
    },
  });
  for (const group of document.querySelectorAll(".chips")) {
    group.addEventListener("click", (event) => {
      const button = event.target.closest("button");
      if (!button) return;
      const on = button.getAttribute("aria-pressed") !== "true";
      for (const other of group.querySelectorAll("button")) {
        other.setAttribute("aria-pressed", String(other === button && on));
      }
      const exact = on ? `^${button.dataset.value.replace(/[.*+?^${}()|[\]\\]/g, "\\$&")}$` : "";
      table.column(`${group.dataset.column}:name`).search(exact, true, false).draw();
    });
  }
  addEventListener("beforeprint", () => table.page.len(-1).draw());
  globalThis.lungsegScans = table;
})();
