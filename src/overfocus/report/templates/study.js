"use strict";
// Tables: a click on a head sorts, a second one turns the order, a third one brings the first order back.
for (const table of document.querySelectorAll("table.sortable")) {
  const body = table.tBodies[0], first = [...body.rows];
  const heads = [...table.tHead.rows[0].cells];
  const key = (row, column) => row.cells[column].dataset.key ?? row.cells[column].textContent.trim();
  const compare = (a, b, numeric, turn) => {
    if (a === "" || b === "") return (a === "") - (b === "");
    return turn * (numeric ? a - b : a.localeCompare(b));
  };
  heads.forEach((head, column) => {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...head.childNodes);
    head.append(button);
    head.setAttribute("aria-sort", "none");
    const numeric = head.classList.contains("n");
    const cycle = numeric ? ["descending", "ascending", "none"] : ["ascending", "descending", "none"];
    button.addEventListener("click", () => {
      const now = head.getAttribute("aria-sort"), next = cycle[(cycle.indexOf(now) + 1) % 3];
      heads.forEach((each) => each.setAttribute("aria-sort", each === head ? next : "none"));
      const turn = next === "ascending" ? 1 : -1;
      const rows = next === "none" ? first : [...first].sort((a, b) => compare(key(a, column), key(b, column), numeric, turn));
      body.append(...rows);
    });
  });
}

// The gallery: which images are shown, in which order, and how strongly the heat maps cover them.
const controls = document.getElementById("controls");
if (controls) {
  const { size, kind, differ, order, heat, boxes } = controls.elements;
  const walls = [...document.querySelectorAll(".wall-box")];
  const begun = new Map(walls.map((wall) => [wall, [...wall.querySelectorAll("tbody tr")]]));
  const narrowest = (row, column) => {
    const areas = row.dataset.areas.split(" ").map((each) => (each === "" ? Infinity : Number(each)));
    return column === "any" ? Math.min(...areas) : areas[Number(column)] ?? Infinity;
  };
  const fit = () => walls.forEach((wall) => {
    wall.classList.remove("fits");
    wall.classList.toggle("fits", wall.scrollWidth <= wall.clientWidth);
  });
  const arrange = () => {
    walls.forEach((wall, number) => { wall.hidden = size ? number !== Number(size.value) : false; });
    let shown = 0, total = 0;
    for (const wall of walls.filter((each) => !each.hidden)) {
      const rows = [...begun.get(wall)];
      if (order.value !== "class") {
        const keys = new Map(rows.map((row) => [row, narrowest(row, order.value)]));
        rows.sort((a, b) => (keys.get(a) === keys.get(b) ? 0 : keys.get(a) - keys.get(b)));
      }
      for (const row of rows) {
        row.hidden = (kind.value !== "all" && row.dataset.kind !== kind.value) || (differ.checked && !("differ" in row.dataset));
        shown += !row.hidden;
      }
      total += rows.length;
      wall.querySelector("tbody").append(...rows);
    }
    document.getElementById("shown").textContent = `${shown} of ${total} images shown`;
    fit();
  };
  const cover = () => {
    document.documentElement.style.setProperty("--heat", heat.value / 100);
    document.getElementById("strength").textContent = `${heat.value} %`;
  };
  controls.addEventListener("submit", (event) => event.preventDefault());
  controls.addEventListener("change", arrange);
  heat.addEventListener("input", cover);
  if (boxes) boxes.addEventListener("change", () => document.getElementById("gallery").classList.toggle("boxless", !boxes.checked));
  addEventListener("resize", fit);
  controls.hidden = false;
  cover();
  arrange();
}
