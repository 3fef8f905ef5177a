"use strict";
// What a reader does with the page, step by step; the first thing that is not as it should be ends up in the title.

(() => {
  const check = (what, holds) => { if (!holds) throw new Error(what); };
  const all = (query) => [...document.querySelectorAll(query)];
  const saved = [];
  const blobs = new Map();
  URL.createObjectURL = (blob) => { const url = `blob:${blobs.size}`; blobs.set(url, blob); return url; };
  URL.revokeObjectURL = () => {};
  HTMLAnchorElement.prototype.click = function () { saved.push([this.download, blobs.get(this.getAttribute("href"))]); };

  function tips() {
    const frame = all(".frame")[0];
    const tip = document.getElementById("tip");
    frame.focus();
    frame.dispatchEvent(new KeyboardEvent("keydown", { key: "ArrowRight", bubbles: true }));
    check("an arrow key shows a tip", !tip.hidden && tip.textContent.length > 5);
    check("a tip marks its point", frame.querySelectorAll(".mark").length === 1);
    frame.dispatchEvent(new KeyboardEvent("keydown", { key: "Escape", bubbles: true }));
    check("escape hides the tip", tip.hidden && !frame.querySelector(".mark"));
    const box = frame.querySelector("svg").getBoundingClientRect();
    let seen = 0;
    for (let x = 0.2; x < 1; x += 0.05) {
      for (let y = 0.2; y < 1; y += 0.05) {
        const at = { clientX: box.left + x * box.width, clientY: box.top + y * box.height, bubbles: true };
        frame.dispatchEvent(new PointerEvent("pointermove", at));
        if (!tip.hidden) seen += 1;
      }
    }
    check("pointing shows tips", seen > 0);
    frame.dispatchEvent(new PointerEvent("pointerleave"));
    check("leaving hides them", tip.hidden);
  }

  function sorting() {
    const table = all("#measures table")[0];
    const head = [...table.tHead.rows[0].cells].find((cell) => cell.textContent === "change");
    const column = head.cellIndex;
    const values = () => [...table.tBodies[0].rows].map((row) => row.cells[column].dataset.v).filter((v) => v !== undefined).map(Number);
    const count = table.tBodies[0].rows.length;
    for (const [direction, order] of [["ascending", 1], ["descending", -1]]) {
      head.querySelector("button").click();
      check(`the heading says ${direction}`, head.getAttribute("aria-sort") === direction);
      const found = values();
      check(`rows are ${direction}`, found.length > 3 && found.every((value, at) => at === 0 || order * (value - found[at - 1]) >= 0));
    }
    check("no row got lost", table.tBodies[0].rows.length === count);
    const filter = document.getElementById("filter");
    filter.value = "cpu 2x";
    filter.dispatchEvent(new Event("input"));
    const shown = [...table.tBodies[0].rows].filter((row) => !row.hidden);
    check("the filter leaves the rows that are asked for", shown.length > 0 && shown.length < count && shown.every((row) => /cpu/i.test(row.textContent)));
  }

  function saving() {
    const figures = all(".figure");
    for (const figure of figures) figure.querySelectorAll(".tools button").forEach((button) => button.click());
    check("two files per plot", saved.length === 2 * figures.length);
    check("files have names and content", saved.every(([name, blob]) => /^[a-z0-9-]+\.(svg|csv)$/.test(name) && blob.size > 50));
    for (const figure of figures) {
      const text = svgFile(figure);
      const parsed = new DOMParser().parseFromString(text, "image/svg+xml");
      check(`${figure.id} is XML`, !parsed.querySelector("parsererror"));
      check(`${figure.id} carries its style`, text.includes("--c0:") && text.includes(".plot .line"));
      const rows = figure.querySelectorAll(".scroll tr").length;
      const lines = figure.querySelector(".csv").textContent.trim().split("\n").length;
      check(`${figure.id} shows its data: ${rows} of ${lines}`, rows === Math.min(lines, 2000));
    }
  }

  function themes() {
    const button = document.getElementById("theme");
    const ground = () => getComputedStyle(document.body).backgroundColor + getComputedStyle(all("svg.plot .ground")[0]).fill;
    const before = ground();
    button.click();
    check("light and dark differ", ground() !== before);
    button.click();
    check("and back", ground() === before);
  }

  function access() {
    check("every plot has a name", all("svg.plot").every((svg) => svg.getAttribute("aria-label")));
    check("every button has a name", all("button").every((button) => button.textContent.trim() || button.getAttribute("aria-label")));
    check("ids are unique", new Set(all("[id]").map((element) => element.id)).size === all("[id]").length);
    check("links inside lead somewhere", all("a[href^='#']").every((link) => document.getElementById(link.getAttribute("href").slice(1))));
    check("nothing is wider than the page", document.documentElement.scrollWidth <= innerWidth);
  }

  function silence() {
    const asked = performance.getEntriesByType("resource").map((entry) => entry.name).filter((name) => !name.startsWith("data:"));
    check(`no request (${asked})`, asked.length === 0);
  }

  try {
    tips();
    sorting();
    saving();
    themes();
    access();
    silence();
    document.title = "all steps taken";
  } catch (error) {
    document.title = `${error.message} does not hold`;
  }
})();
