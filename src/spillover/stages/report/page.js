"use strict";
// Everything that comes from the run is put in as text (textContent), never as markup.
(() => {
  const byId = (id) => document.getElementById(id);
  const data = (id) => JSON.parse(byId(id).textContent);
  const make = (tag, text, attributes = {}) => {
    const node = document.createElement(tag);
    if (text !== undefined && text !== null) node.textContent = text;
    for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
    return node;
  };
  const narrow = () => document.documentElement.clientWidth < 640;

  // Charts. On a narrow screen panels stand below each other, or only the first is drawn.
  const rowsOf = (columns) => {
    if (Array.isArray(columns)) return columns;
    const names = Object.keys(columns);
    return columns[names[0]].map((_, i) => Object.fromEntries(names.map((name) => [name, columns[name][i]])));
  };
  const fitted = (spec) => {
    for (const name of Object.keys(spec.datasets || {})) spec.datasets[name] = rowsOf(spec.datasets[name]);
    const { across = 1 } = spec.usermeta || {};
    const under = { direction: "vertical", anchor: "start" };
    if (!narrow()) {
      if (document.documentElement.clientWidth >= 1000) return spec;
      spec.config = { ...spec.config, legend: { orient: "top", columns: 3, layout: { top: under } } };
      if (spec.facet && spec.facet.field && across > 3) {
        spec.columns = Math.ceil(across / 2);
        spec.usermeta = { across: spec.columns };
      }
      return spec;
    }
    spec.config = { ...spec.config, legend: { orient: "bottom", columns: 2, labelLimit: 130, titleLimit: 300, layout: { bottom: under } } };
    if (spec.hconcat && spec.usermeta && spec.usermeta.narrow === "first") {
      Object.assign(spec, spec.hconcat[0]);
      delete spec.hconcat;
      spec.width = 190;
      spec.usermeta = { across: 1 };
    } else if (spec.hconcat) {
      spec.vconcat = spec.hconcat;
      delete spec.hconcat;
    }
    if (spec.facet) {
      if (spec.facet.column && !spec.facet.row) spec.facet = spec.facet.column;
      if (spec.facet.field) spec.columns = across > 4 ? 2 : 1;
      if (spec.facet.field) spec.usermeta = { across: spec.columns };
      if (spec.spec) spec.spec.width = Math.min(spec.spec.width, across > 4 ? 105 : 210 / (spec.facet.field ? 1 : across));
    } else if (spec.width > 220) {
      spec.width = 220;
    }
    return spec;
  };
  // What the page has left, or lacks, is shared among the panels that stand beside each other. Labels take what they
  // need, so that it is known only once a chart is drawn.
  const NARROWEST = 60, ROUNDS = 3;
  const fill = async (plot, view, spec) => {
    const { across } = spec.usermeta || {};
    const beside = spec.hconcat || spec.vconcat;
    if (!beside && !across) return;
    const panels = beside ? beside.map((_, i) => `concat_${i}_width`) : [spec.facet ? "child_width" : "width"];
    for (let round = 0; round < ROUNDS; round += 1) {
      const widths = panels.map((name) => view.signal(name));
      const inRow = spec.hconcat ? widths.reduce((sum, width) => sum + width, 0) : Math.max(...widths) * (across || 1);
      const free = plot.clientWidth - plot.querySelector("svg").getBoundingClientRect().width;
      if (Math.abs(free) < 2) return;
      panels.forEach((name, i) => view.signal(name, Math.max(NARROWEST, Math.floor(widths[i] * (1 + free / inRow)))));
      await view.resize().runAsync();
    }
  };
  const options = {
    mode: "vega-lite", renderer: "svg", ast: true, hover: true,
    actions: { export: true, source: false, compiled: false, editor: false },
  };
  const draw = async (plot) => {
    if (plot.dataset.drawn) return;
    plot.dataset.drawn = "started";
    const spec = fitted(data(`data-${plot.dataset.chart}`).chart);
    try {
      const theme = matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light";
      const { view } = await window.vegaEmbed(plot, spec, { ...options, downloadFileName: plot.dataset.chart, tooltip: { theme } });
      await fill(plot, view, spec);
      // The role `img` allows no controls; a chart with a slider has one.
      if (plot.querySelector("input")) plot.setAttribute("role", "group");
      plot.dataset.drawn = "done";
    } catch (error) {
      plot.dataset.drawn = "failed";
      plot.textContent = `This chart could not be drawn (${error.message}). Its numbers are below.`;
      console.error(error);
    }
  };
  const plots = [...document.querySelectorAll(".plot")];
  const idle = window.requestIdleCallback || ((work) => setTimeout(work, 1));
  const drawAll = async () => {
    for (const plot of plots) {
      await new Promise((next) => idle(() => draw(plot).then(next), { timeout: 500 }));
    }
    document.documentElement.dataset.ready = "yes";
  };

  // The table behind a chart, built when it is opened.
  const numbersTable = ({ columns, rows }) => {
    const wide = make("div", null, { class: "wide", tabindex: "0" });
    const table = wide.appendChild(make("table", null, { class: "sortable" }));
    const head = table.appendChild(make("thead")).appendChild(make("tr"));
    for (const name of columns) head.appendChild(make("th", name, { scope: "col" }));
    const body = table.appendChild(make("tbody"));
    for (const values of rows) {
      const row = body.appendChild(make("tr"));
      for (const value of values) {
        const cell = row.appendChild(make("td", value === null ? "–" : value === true ? "yes" : value === false ? "no" : value, { dir: "auto" }));
        if (typeof value === "number") cell.dataset.v = value;
      }
    }
    sortable(table);
    return wide;
  };
  for (const details of document.querySelectorAll("details[data-table]")) {
    details.addEventListener("toggle", () => {
      if (details.open && !details.querySelector("table")) details.appendChild(numbersTable(data(`data-${details.dataset.table}`).table));
    });
  }

  // Sorting: numbers by the value in data-v, undefined ones last; else by text. A heading stands in the last row of the
  // head, or spans all of them, and then comes first.
  function sortable(table) {
    const headRows = [...table.tHead.rows];
    const spanning = headRows.slice(0, -1).flatMap((row) => [...row.cells]).filter((head) => head.rowSpan > 1);
    const heads = [...spanning, ...headRows.at(-1).cells];
    heads.forEach((head, column) => {
      const button = make("button", head.textContent, { type: "button" });
      head.replaceChildren(button);
      button.addEventListener("click", () => {
        const descending = head.getAttribute("aria-sort") === "ascending";
        for (const other of heads) other.removeAttribute("aria-sort");
        head.setAttribute("aria-sort", descending ? "descending" : "ascending");
        const key = (row) => {
          const cell = row.cells[column];
          if (cell.dataset.v === undefined) return cell.textContent;
          const number = Number(cell.dataset.v);
          return Number.isNaN(number) ? null : number;
        };
        const compare = (a, b) => {
          if (a === null || b === null) return (a === null) - (b === null);
          const order = typeof a === "number" && typeof b === "number" ? a - b : String(a).localeCompare(String(b));
          return descending ? -order : order;
        };
        const rows = [...table.tBodies[0].rows].map((row) => ({ row, key: key(row) }));
        rows.sort((a, b) => compare(a.key, b.key));
        table.tBodies[0].append(...rows.map(({ row }) => row));
      });
    });
  }
  for (const table of document.querySelectorAll("table.sortable")) sortable(table);

  const choice = (name, values, changed) => {
    const label = make("label", `${name} `);
    const select = label.appendChild(make("select"));
    select.appendChild(make("option", "all", { value: "" }));
    for (const value of values) select.appendChild(make("option", value, { value }));
    select.addEventListener("change", changed);
    return [label, select];
  };

  // Filters of the tables of languages, which have a row for each language.
  for (const bar of document.querySelectorAll("[data-filters]")) {
    const tables = bar.dataset.filters.split(" ").map((id) => [...byId(id).tBodies[0].rows]);
    const filters = {};
    const count = make("output", "");
    const show = () => {
      for (const row of tables.flat()) {
        row.hidden = !Object.entries(filters).every(([name, select]) => !select.value || row.dataset[name] === select.value);
      }
      const rows = tables[0];
      count.textContent = `${rows.filter((row) => !row.hidden).length} of ${rows.length} languages`;
    };
    for (const [name, title] of [["script", "Script"], ["family", "Family"], ["seen", "Seen"]]) {
      const values = [...new Set(tables[0].map((row) => row.dataset[name]).filter(Boolean))].sort();
      const [label, select] = choice(title, values, show);
      filters[name] = select;
      bar.appendChild(label);
    }
    bar.appendChild(count);
    bar.hidden = false;
    show();
  }

  // Flipped predictions.
  const PAGE = 8, CORRECT = "newly correct", WRONG = "newly wrong";
  const flipOf = (row) => (row.newly_correct ? CORRECT : WRONG);
  const percent = (thousandths) => `${(thousandths / 10).toFixed(1)} %`;
  const itemNode = (flips, row) => {
    const node = make("article", null, { class: "item" });
    const about = node.appendChild(make("div", null, { class: "about" }));
    about.append(
      make("span", flipOf(row), { class: "flip" }),
      make("span", flips.names[row.language] || row.language), make("bdi", row.id), make("span", "gold label: "),
    );
    about.lastChild.appendChild(make("bdi", flips.labels[row.gold]));
    if (row.text) node.appendChild(make("div", row.text, { class: "text", lang: row.language, dir: "auto", tabindex: "0" }));
    const counterpart = row.language === flips.reference ? "" : flips.counterparts[row.id];
    if (counterpart) {
      const details = node.appendChild(make("details"));
      details.appendChild(make("summary", `${flips.names[flips.reference] || flips.reference} counterpart`, { class: "soft" }));
      details.appendChild(make("div", counterpart, { class: "counterpart", lang: flips.reference, dir: "auto" }));
    }
    const shares = node.appendChild(make("div", null, { class: "shares" }));
    flips.labels.forEach((label, i) => {
      const share = shares.appendChild(make("span", null, i === row.gold ? { class: "gold" } : {}));
      share.append(make("bdi", label), `: ${percent(row.before[i])} → ${percent(row.after[i])}`);
    });
    return node;
  };
  for (const container of document.querySelectorAll("[data-items]")) {
    const flips = data(container.dataset.items);
    const controls = make("div", null, { class: "controls" });
    const list = make("div");
    let matching = flips.rows, from = 0;
    const count = make("output", "");
    const previous = make("button", "Previous", { type: "button" }), next = make("button", "Next", { type: "button" });
    const show = () => {
      list.replaceChildren(...matching.slice(from, from + PAGE).map((row) => itemNode(flips, row)));
      const last = Math.min(from + PAGE, matching.length);
      count.textContent = matching.length ? `${from + 1} to ${last} of ${matching.length} items` : "no such item";
      previous.disabled = from === 0;
      next.disabled = last === matching.length;
    };
    const search = make("input", null, { type: "search", placeholder: "text, id", "aria-label": "Search items" });
    const filter = () => {
      const words = search.value.trim().toLowerCase();
      matching = flips.rows.filter((row) =>
        (!languages.value || codes.get(languages.value) === row.language) &&
        (!kinds.value || kinds.value === flipOf(row)) &&
        (!words || [row.text, row.id, flips.counterparts[row.id] || ""].some((text) => text.toLowerCase().includes(words))));
      from = 0;
      show();
    };
    const codes = new Map([...new Set(flips.rows.map((row) => row.language))].map((code) => [flips.names[code] || code, code]));
    const [languageLabel, languages] = choice("Language", codes.keys(), filter);
    const [kindLabel, kinds] = choice("Flip", [CORRECT, WRONG], filter);
    let waiting;
    search.addEventListener("input", () => { clearTimeout(waiting); waiting = setTimeout(filter, 120); });
    previous.addEventListener("click", () => { from -= PAGE; show(); });
    next.addEventListener("click", () => { from += PAGE; show(); });
    controls.append(search, languageLabel, kindLabel, count, previous, next);
    container.replaceChildren(controls, list);
    show();
  }

  // Letters that no font here has are drawn as boxes. They are compared with code points that are no characters.
  const languagesWithoutFont = () => {
    const canvas = make("canvas", null, { width: 24, height: 24 });
    const context = canvas.getContext("2d", { willReadFrequently: true });
    context.font = '18px system-ui, "Noto Sans", sans-serif';
    const pixels = (char) => {
      context.clearRect(0, 0, 24, 24);
      context.fillText(char, 2, 19);
      return context.getImageData(0, 0, 24, 24).data.join();
    };
    const box = pixels("\uffff"), other = pixels("\u{10fffe}");
    // Boxes with the code inside differ from each other: then they cannot be recognised.
    if (box !== other && !/[1-9]/.test(box)) return [];
    const boxes = new Set([box, other].filter((drawn) => /[1-9]/.test(drawn)));
    return data("samples").filter(({ text }) => [...text].some((char) => /\p{L}/u.test(char) && boxes.has(pixels(char)))).map(({ language }) => language);
  };
  try {
    const names = [...new Set(languagesWithoutFont())];
    if (names.length && byId("fonts")) {
      byId("fonts").textContent = `This device has no font for ${names.join(", ")}: their text shows as boxes. Noto fonts show it.`;
      byId("fonts").hidden = false;
    }
  } catch (error) { /* a browser that forbids reading a canvas: nothing is known */ }

  // On paper everything that matters is open.
  let opened = [];
  addEventListener("beforeprint", () => {
    opened = [...document.querySelectorAll("details.print:not([open])")];
    for (const details of opened) details.open = true;
  });
  addEventListener("afterprint", () => { for (const details of opened) details.open = false; });

  drawAll();
})();
