// Sorts a table by the column whose head was pressed. Cells with a number carry it in data-value; the others sort as text.
for (const table of document.querySelectorAll("table.sortable")) {
  const heads = [...table.tHead.rows[0].cells];
  heads.forEach((head, column) => head.querySelector("button").addEventListener("click", () => {
    const rising = head.getAttribute("aria-sort") !== "ascending";
    heads.forEach((other) => other.removeAttribute("aria-sort"));
    head.setAttribute("aria-sort", rising ? "ascending" : "descending");
    const order = (a, b) => {
      const [left, right] = [a.cells[column], b.cells[column]];
      if (left.dataset.value !== undefined) return left.dataset.value - right.dataset.value;
      return left.textContent.localeCompare(right.textContent, undefined, { numeric: true });
    };
    const body = table.tBodies[0];
    body.append(...[...body.rows].sort((a, b) => (rising ? order(a, b) : order(b, a))));
  }));
}
