"use strict";
// Tables: a click on a heading sorts, a second one turns the order round. Rows without a value stay last.
for (const table of document.querySelectorAll("table.sortable")) {
  const body = table.tBodies[0];
  [...table.tHead.rows[0].cells].forEach((head, column) => {
    head.firstElementChild.addEventListener("click", () => {
      const numeric = head.classList.contains("number");
      const sorted = head.getAttribute("aria-sort");
      const up = sorted ? sorted === "descending" : !numeric;
      for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
      head.setAttribute("aria-sort", up ? "ascending" : "descending");
      const key = (row) => row.cells[column].dataset.sort ?? row.cells[column].textContent;
      const compare = (a, b) => (numeric ? Number(a) - Number(b) : a.localeCompare(b, undefined, { numeric: true }));
      const rows = [...body.rows].sort((a, b) => {
        const [x, y] = [key(a), key(b)];
        if (x === "" || y === "") return (x === "") - (y === "");
        return up ? compare(x, y) : compare(y, x);
      });
      body.append(...rows);
    });
  });
}
// Curves: resting on a name of the legend lights its lines; moving over the picture tells the values of an epoch.
for (const card of document.querySelectorAll(".chart-card")) {
  const svg = card.querySelector("svg.curves");
  if (!svg) continue;
  for (const item of card.querySelectorAll(".legend li")) {
    const light = (on) => {
      svg.classList.toggle("faded", on);
      for (const line of svg.querySelectorAll("." + item.dataset.series)) line.classList.toggle("lit", on);
    };
    item.addEventListener("mouseenter", () => light(true));
    item.addEventListener("mouseleave", () => light(false));
  }
  const data = JSON.parse(svg.dataset.curves);
  const [low, high, from, to] = data.x;
  const cursor = document.createElementNS("http://www.w3.org/2000/svg", "line");
  cursor.setAttribute("class", "cursor");
  cursor.setAttribute("y1", data.top);
  cursor.setAttribute("y2", data.bottom);
  svg.append(cursor);
  const tip = document.createElement("div");
  tip.className = "tip";
  card.append(tip);
  const show = (on) => { tip.style.visibility = cursor.style.visibility = on ? "visible" : "hidden"; };
  svg.addEventListener("mouseleave", () => show(false));
  svg.addEventListener("mousemove", (event) => {
    const box = svg.getBoundingClientRect();
    const at = ((event.clientX - box.left) / box.width) * data.width;
    const epoch = Math.round(low + ((at - from) / (to - from)) * (high - low));
    const values = data.series
      .map((s) => ({ s, point: s.points.find((p) => p[0] === epoch) }))
      .filter((v) => v.point)
      .sort((a, b) => b.point[1] - a.point[1]);
    if (!values.length) return show(false);
    const x = from + ((epoch - low) / (high - low)) * (to - from);
    cursor.setAttribute("x1", x);
    cursor.setAttribute("x2", x);
    const head = document.createElement("b");
    head.textContent = "epoch " + epoch;
    tip.replaceChildren(head, ...values.map(({ s, point }) => {
      const line = document.createElement("span");
      const name = document.createElement("i");
      name.className = s.class;
      name.textContent = s.name;
      line.append(name, point[1].toFixed(2) + " %");
      return line;
    }));
    const outer = card.getBoundingClientRect();
    const left = box.left - outer.left + (x / data.width) * box.width;
    tip.style.left = (left + tip.offsetWidth + 30 > outer.width ? left - tip.offsetWidth - 14 : left + 14) + "px";
    tip.style.top = box.top - outer.top + 12 + "px";
    show(true);
  });
}
