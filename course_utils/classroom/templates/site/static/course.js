// Sliders between two pictures, and tables that are sorted by the column whose heading is pressed.

for (const slider of document.querySelectorAll(".before-after input")) {
  const move = () => slider.parentElement.style.setProperty("--edge", `${slider.value}%`);
  slider.addEventListener("input", move);
  move();
}

function sort(table, heading) {
  const column = heading.cellIndex;
  const order = heading.getAttribute("aria-sort") === "descending" ? "ascending" : "descending";
  for (const other of table.querySelectorAll("thead th")) other.removeAttribute("aria-sort");
  heading.setAttribute("aria-sort", order);
  const sign = order === "ascending" ? 1 : -1;
  const text = (row) => row.cells[column].textContent;
  const compare = (a, b) => text(a).localeCompare(text(b), "en", { numeric: true });
  const compareNumbers = (a, b) => text(a) - text(b);
  const rows = [...table.tBodies[0].rows];
  rows.sort((a, b) => sign * (column ? compareNumbers(a, b) : compare(a, b)));
  table.tBodies[0].append(...rows);
}

for (const table of document.querySelectorAll("table.sortable")) {
  for (const heading of table.querySelectorAll("thead th")) {
    const button = document.createElement("button");
    button.append(...heading.childNodes);
    heading.append(button);
    button.addEventListener("click", () => sort(table, heading));
  }
}
