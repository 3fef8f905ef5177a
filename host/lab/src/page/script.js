"use strict";
// What a page can do without a script it does; this adds tips, sorting, saving and the choice of light or dark.

const tip = document.getElementById("tip");

// Light or dark: as the system says, until somebody chooses.
const theme = document.getElementById("theme");
const dark = matchMedia("(prefers-color-scheme: dark)");
const isDark = () => (document.documentElement.dataset.theme || (dark.matches ? "dark" : "light")) === "dark";
const nameTheme = () => { theme.textContent = isDark() ? "Light" : "Dark"; theme.setAttribute("aria-label", `switch to ${isDark() ? "light" : "dark"}`); };
theme.hidden = false;
theme.addEventListener("click", () => { document.documentElement.dataset.theme = isDark() ? "light" : "dark"; nameTheme(); });
dark.addEventListener("change", nameTheme);
nameTheme();

// Tips: the point that is closest to the pointer, or the one that the arrow keys went to.
function pointsOf(svg) {
  const shift = Number(svg.dataset.shift);
  return svg.dataset.tips.split("\n").filter(Boolean).map((line) => {
    const [x, y, text] = line.split("\t");
    return { x: Number(x), y: Number(y) + shift, text };
  });
}

function show(svg, point) {
  let mark = svg.querySelector(".mark");
  if (!mark) {
    mark = svg.appendChild(document.createElementNS("http://www.w3.org/2000/svg", "circle"));
    mark.setAttribute("class", "mark");
    mark.setAttribute("r", "7");
  }
  mark.setAttribute("cx", point.x);
  mark.setAttribute("cy", point.y);
  const box = svg.getBoundingClientRect();
  const scale = box.width / svg.viewBox.baseVal.width;
  tip.textContent = point.text;
  tip.hidden = false;
  const left = Math.min(box.left + point.x * scale + 12, innerWidth - tip.offsetWidth - 8);
  const above = box.top + point.y * scale - tip.offsetHeight - 12;
  tip.style.left = `${Math.max(8, left)}px`;
  tip.style.top = `${above > 8 ? above : box.top + point.y * scale + 14}px`;
}

function hide(svg) {
  tip.hidden = true;
  svg.querySelector(".mark")?.remove();
}

for (const frame of document.querySelectorAll(".frame")) {
  const svg = frame.querySelector("svg");
  const points = pointsOf(svg);
  let at = -1;
  frame.addEventListener("pointermove", (event) => {
    const box = svg.getBoundingClientRect();
    const scale = box.width / svg.viewBox.baseVal.width;
    const [x, y] = [(event.clientX - box.left) / scale, (event.clientY - box.top) / scale];
    let best = 40 * 40;
    at = -1;
    points.forEach((point, index) => {
      const distance = (point.x - x) ** 2 + (point.y - y) ** 2;
      if (distance < best) { best = distance; at = index; }
    });
    if (at >= 0) show(svg, points[at]); else hide(svg);
  });
  frame.addEventListener("pointerleave", () => hide(svg));
  frame.addEventListener("blur", () => hide(svg));
  frame.addEventListener("keydown", (event) => {
    const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
    if (event.key === "Escape") return hide(svg);
    if (!step || points.length === 0) return;
    event.preventDefault();
    at = (at + step + points.length) % points.length;
    if (at < 0) at = 0;
    show(svg, points[at]);
  });
}
addEventListener("scroll", () => { tip.hidden = true; }, { passive: true });

// Saving: what is on the page already goes into a file; nothing is fetched.
function save(name, type, text) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([text], { type }));
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
}

function svgFile(figure) {
  const svg = figure.querySelector("svg").cloneNode(true);
  svg.querySelector(".mark")?.remove();
  svg.removeAttribute("data-tips");
  svg.removeAttribute("data-shift");
  const style = document.createElementNS("http://www.w3.org/2000/svg", "style");
  style.textContent = document.getElementById("plot-light").textContent + document.getElementById("plot-rules").textContent;
  svg.prepend(style);
  return new XMLSerializer().serializeToString(svg);
}

function dataTable(figure) {
  const old = figure.querySelector(".scroll");
  if (old) { old.remove(); return false; }
  // The cells are as they were written: quoted where they hold a comma.
  const cells = (line) => [...line.matchAll(/("([^"]|"")*"|[^,]*)(,|$)/g)].slice(0, -1)
    .map((match) => match[1].startsWith('"') ? match[1].slice(1, -1).replaceAll('""', '"') : match[1]);
  const lines = figure.querySelector(".csv").textContent.trim().split("\n");
  const box = document.createElement("div");
  box.className = "scroll";
  box.tabIndex = 0;
  box.style.maxHeight = "20rem";
  box.style.overflowY = "auto";
  const table = box.appendChild(document.createElement("table"));
  lines.slice(0, 2000).forEach((line, index) => {
    const row = table.insertRow();
    const parts = cells(line.endsWith(",") ? `${line} ` : `${line},`);
    for (const text of parts) {
      const cell = row.appendChild(document.createElement(index ? "td" : "th"));
      cell.textContent = text;
    }
  });
  figure.append(box);
  return true;
}

for (const figure of document.querySelectorAll(".figure")) {
  const tools = document.createElement("div");
  tools.className = "tools";
  const title = figure.querySelector("h3").textContent;
  const button = (text, label, action) => {
    const made = tools.appendChild(document.createElement("button"));
    made.type = "button";
    made.textContent = text;
    made.setAttribute("aria-label", `${label}: ${title}`);
    made.addEventListener("click", action);
    return made;
  };
  button("SVG", "save the plot", () => save(`${figure.id}.svg`, "image/svg+xml", svgFile(figure)));
  button("CSV", "save the data", () => save(`${figure.id}.csv`, "text/csv", figure.querySelector(".csv").textContent));
  const table = button("Data", "show the data", () => table.setAttribute("aria-expanded", dataTable(figure)));
  table.setAttribute("aria-expanded", "false");
  figure.append(tools);
}

// Sorting: by the plain value where a cell has one, else by its text. Rows without a value stand last.
function sort(table, column, ascending) {
  const value = (row) => {
    const cell = row.cells[column];
    return cell.dataset.v !== undefined ? Number(cell.dataset.v) : cell.textContent;
  };
  const rank = (value) => (typeof value === "number" ? 0 : value === "-" || value === "" ? 2 : 1);
  const rows = [...table.tBodies[0].rows].map((row) => [value(row), row]);
  rows.sort(([a], [b]) => {
    if (rank(a) !== rank(b)) return rank(a) - rank(b);
    const order = typeof a === "number" ? a - b : a.localeCompare(b, "en", { numeric: true });
    return ascending ? order : -order;
  });
  table.tBodies[0].append(...rows.map(([, row]) => row));
}

for (const table of document.querySelectorAll("table")) {
  const heads = [...(table.tHead?.rows[0].cells ?? [])];
  heads.forEach((head, column) => {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = head.textContent || "verdict";
    head.replaceChildren(button);
    button.addEventListener("click", () => {
      const ascending = head.getAttribute("aria-sort") !== "ascending";
      heads.forEach((other) => other.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", ascending ? "ascending" : "descending");
      sort(table, column, ascending);
    });
  });
}

// The filter: rows that hold every word.
document.getElementById("filter")?.addEventListener("input", (event) => {
  const words = event.target.value.toLowerCase().split(/\s+/).filter(Boolean);
  for (const row of document.querySelectorAll("#measures > .scroll tbody tr")) {
    const text = row.textContent.toLowerCase();
    row.hidden = !words.every((word) => text.includes(word));
  }
});

document.documentElement.dataset.ready = "yes";
