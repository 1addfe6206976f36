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
  const unpacked = (chart) => {
    for (const [name, columns] of Object.entries(chart.datasets || {})) {
      const rows = [];
      for (const [column, values] of Object.entries(columns)) {
        const all = Array.isArray(values) ? values : values.at.map((place) => values.words[place]);
        all.forEach((value, i) => { (rows[i] ||= {})[column] = value; });
      }
      chart.datasets[name] = rows;
    }
    return chart;
  };
  const fitted = (spec) => {
    if (!narrow()) return spec;
    spec.config = { ...spec.config, legend: { orient: "bottom", columns: 2, titleLimit: 300 } };
    if (spec.hconcat && spec.usermeta && spec.usermeta.narrow === "first") {
      Object.assign(spec, spec.hconcat[0]);
      delete spec.hconcat;
      spec.width = 190;
    } else if (spec.hconcat) {
      spec.vconcat = spec.hconcat;
      delete spec.hconcat;
    }
    if (spec.facet) {
      if (spec.facet.column && !spec.facet.row) spec.facet = spec.facet.column;
      if (spec.facet.field) spec.columns = spec.spec && spec.spec.width <= 160 ? 2 : 1;
      if (spec.spec && spec.spec.width > 210) spec.spec.width = 210;
      if (spec.spec && spec.spec.width <= 160) spec.spec.width = 105;
    } else if (spec.width > 220) {
      spec.width = 220;
    }
    return spec;
  };
  const options = {
    mode: "vega-lite", renderer: "svg", ast: true, hover: true,
    actions: { export: true, source: false, compiled: false, editor: false },
  };
  const draw = async (plot) => {
    if (plot.dataset.drawn) return;
    plot.dataset.drawn = "begun";
    const spec = fitted(unpacked(data(`data-${plot.dataset.chart}`).chart));
    try {
      const theme = matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light";
      await window.vegaEmbed(plot, spec, { ...options, downloadFileName: plot.dataset.chart, tooltip: { theme } });
      // An image has nothing to operate; a chart with a slider does.
      if (plot.querySelector("input")) plot.setAttribute("role", "group");
      plot.dataset.drawn = "done";
    } catch (error) {
      plot.dataset.drawn = "failed";
      plot.textContent = `This chart could not be drawn (${error.message}); its numbers are below.`;
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

  // The table behind a chart, made when it is asked for.
  const table = ({ columns, rows }) => {
    const wide = make("div", null, { class: "wide", tabindex: "0" });
    const whole = wide.appendChild(make("table", null, { class: "sortable" }));
    const head = whole.appendChild(make("thead")).appendChild(make("tr"));
    for (const name of columns) head.appendChild(make("th", name, { scope: "col" }));
    const body = whole.appendChild(make("tbody"));
    for (const row of rows) {
      const line = body.appendChild(make("tr"));
      for (const value of row) {
        const cell = line.appendChild(make("td", value === null ? "–" : value === true ? "yes" : value === false ? "no" : value, { dir: "auto" }));
        if (typeof value === "number") cell.dataset.v = value;
      }
    }
    sortable(whole);
    return wide;
  };
  for (const details of document.querySelectorAll("details[data-table]")) {
    details.addEventListener("toggle", () => {
      if (details.open && !details.querySelector("table")) details.appendChild(table(data(`data-${details.dataset.table}`).table));
    });
  }

  // Sorting: numbers by the value in data-v, undefined ones last; else by text.
  function sortable(whole) {
    [...whole.tHead.rows[0].cells].forEach((head, place) => {
      const button = make("button", head.textContent, { type: "button" });
      head.replaceChildren(button);
      button.addEventListener("click", () => {
        const down = head.getAttribute("aria-sort") === "ascending";
        for (const other of whole.tHead.rows[0].cells) other.removeAttribute("aria-sort");
        head.setAttribute("aria-sort", down ? "descending" : "ascending");
        const value = (row) => {
          const cell = row.cells[place];
          if (cell.dataset.v === undefined) return cell.textContent;
          const number = Number(cell.dataset.v);
          return Number.isNaN(number) ? null : number;
        };
        const compare = (a, b) => {
          if (a === null || b === null) return (a === null) - (b === null);
          const order = typeof a === "number" && typeof b === "number" ? a - b : String(a).localeCompare(String(b));
          return down ? -order : order;
        };
        const rows = [...whole.tBodies[0].rows].map((row) => [value(row), row]);
        rows.sort((a, b) => compare(a[0], b[0]));
        whole.tBodies[0].append(...rows.map(([, row]) => row));
      });
    });
  }
  for (const whole of document.querySelectorAll("table.sortable")) sortable(whole);

  const choice = (name, values, changed) => {
    const label = make("label", `${name} `);
    const select = label.appendChild(make("select"));
    select.appendChild(make("option", "all", { value: "" }));
    for (const value of values) select.appendChild(make("option", value, { value }));
    select.addEventListener("change", changed);
    return [label, select];
  };

  // Filters of the table of languages.
  for (const bar of document.querySelectorAll("[data-filters]")) {
    const rows = [...byId(bar.dataset.filters).tBodies[0].rows];
    const chosen = {};
    const count = make("output", "");
    const show = () => {
      let shown = 0;
      for (const row of rows) {
        row.hidden = !Object.entries(chosen).every(([name, select]) => !select.value || row.dataset[name] === select.value);
        shown += !row.hidden;
      }
      count.textContent = `${shown} of ${rows.length} languages`;
    };
    for (const [name, title] of [["script", "Script"], ["family", "Family"], ["seen", "Seen"]]) {
      const values = [...new Set(rows.map((row) => row.dataset[name]).filter(Boolean))].sort();
      const [label, select] = choice(title, values, show);
      chosen[name] = select;
      bar.appendChild(label);
    }
    bar.appendChild(count);
    bar.hidden = false;
    show();
  }

  // Flipped predictions.
  const PAGE = 8;
  const share = (thousandths) => `${(thousandths / 10).toFixed(1)} %`;
  const itemNode = (found, [code, id, flipped, gold, before, after, text]) => {
    const node = make("article", null, { class: "item" });
    const about = node.appendChild(make("div", null, { class: "about" }));
    about.append(
      make("span", flipped ? "wrong → right" : "right → wrong", { class: "turn" }),
      make("span", found.names[code] || code), make("bdi", id), make("span", "right answer: "),
    );
    about.lastChild.appendChild(make("bdi", found.labels[gold]));
    if (text) node.appendChild(make("div", text, { class: "text", lang: code, dir: "auto", tabindex: "0" }));
    const counterpart = code === found.reference ? "" : found.texts[id];
    if (counterpart) {
      const details = node.appendChild(make("details", null, { class: "same" }));
      details.appendChild(make("summary", `The same item in ${found.names[found.reference] || found.reference}`, { class: "soft" }));
      details.appendChild(make("div", counterpart, { class: "counterpart", lang: found.reference, dir: "auto" }));
    }
    const shares = node.appendChild(make("div", null, { class: "shares" }));
    found.labels.forEach((label, i) => {
      const one = shares.appendChild(make("span", null, i === gold ? { class: "gold" } : {}));
      one.append(make("bdi", label), `: ${share(before[i])} → ${share(after[i])}`);
    });
    return node;
  };
  for (const place of document.querySelectorAll("[data-items]")) {
    const found = data(place.dataset.items);
    const controls = make("div", null, { class: "controls" });
    const list = make("div");
    let matching = found.rows, from = 0;
    const count = make("output", "");
    const back = make("button", "Earlier", { type: "button" }), on = make("button", "Later", { type: "button" });
    const show = () => {
      list.replaceChildren(...matching.slice(from, from + PAGE).map((row) => itemNode(found, row)));
      const last = Math.min(from + PAGE, matching.length);
      count.textContent = matching.length ? `${from + 1} to ${last} of ${matching.length} items` : "no such item";
      back.disabled = from === 0;
      on.disabled = last === matching.length;
    };
    const search = make("input", null, { type: "search", placeholder: "text, id", "aria-label": "Search items" });
    const filter = () => {
      const words = search.value.trim().toLowerCase();
      matching = found.rows.filter(([code, id, flipped, , , , text]) =>
        (!languages.value || names.get(languages.value) === code) &&
        (!turns.value || (turns.value === "wrong → right") === (flipped === 1)) &&
        (!words || text.toLowerCase().includes(words) || id.toLowerCase().includes(words) || (found.texts[id] || "").toLowerCase().includes(words)));
      from = 0;
      show();
    };
    const names = new Map([...new Set(found.rows.map((row) => row[0]))].map((code) => [found.names[code] || code, code]));
    const [languageLabel, languages] = choice("Language", names.keys(), filter);
    const [turnLabel, turns] = choice("Turned", ["wrong → right", "right → wrong"], filter);
    let waiting;
    search.addEventListener("input", () => { clearTimeout(waiting); waiting = setTimeout(filter, 120); });
    back.addEventListener("click", () => { from -= PAGE; show(); });
    on.addEventListener("click", () => { from += PAGE; show(); });
    controls.append(search, languageLabel, turnLabel, count, back, on);
    place.replaceChildren(controls, list);
    show();
  }

  // Letters that no font here has would be boxes: say so. They are compared with a code point that is no character.
  const lacking = () => {
    const canvas = make("canvas", null, { width: 24, height: 24 });
    const pen = canvas.getContext("2d", { willReadFrequently: true });
    pen.font = '18px system-ui, "Noto Sans", sans-serif';
    const draw = (char) => {
      pen.clearRect(0, 0, 24, 24);
      pen.fillText(char, 2, 19);
      return pen.getImageData(0, 0, 24, 24).data.join();
    };
    const box = draw("\uffff"), other = draw("\u{10fffe}");
    // Boxes with the code inside differ from each other: then nothing is known.
    if (box !== other && !/[1-9]/.test(box)) return [];
    const boxes = new Set([box, other].filter((drawn) => /[1-9]/.test(drawn)));
    return data("samples").filter(({ text }) => [...text].some((char) => /\p{L}/u.test(char) && boxes.has(draw(char)))).map(({ language }) => language);
  };
  try {
    const names = [...new Set(lacking())];
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
