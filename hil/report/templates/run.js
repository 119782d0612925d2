"use strict";
// Filters and sorts the table, and draws a chart when its part of the page is opened.
(() => {
  // -- the table ------------------------------------------------------------------------------------------------------
  const table = document.getElementById("cases");
  const by = (id) => document.getElementById(id);

  const filter = () => {
    const words = by("find").value.toLowerCase().split(/\s+/).filter(Boolean);
    const chosen = ["board", "cores", "nodes"].map((key) => [key, by(key).value]);
    let shown = 0;
    const rows = [...table.tBodies[0].rows];
    for (const row of rows) {
      const text = `${row.textContent} ${row.dataset.place}`.toLowerCase();
      const fits =
        words.every((word) => text.includes(word)) &&
        chosen.every(([key, value]) => !value || row.dataset[key] === value) &&
        (!by("only").checked || row.dataset.bad === "1");
      row.hidden = !fits;
      by(row.dataset.case).hidden = !fits;
      shown += fits;
    }
    by("shown").textContent = `${shown} of ${rows.length} shown`;
  };

  const key = (row, column) => {
    const cell = row.cells[column];
    return "value" in cell.dataset ? Number(cell.dataset.value) : cell.textContent.trim();
  };
  const sort = (column, head) => {
    const down = head.getAttribute("aria-sort") === "ascending";
    for (const other of table.tHead.rows[0].cells) other.setAttribute("aria-sort", "none");
    head.setAttribute("aria-sort", down ? "descending" : "ascending");
    const rows = [...table.tBodies[0].rows];
    const compare = (a, b) => (typeof a === "number" ? a - b : a.localeCompare(b, "en", { numeric: true }));
    rows.sort((a, b) => (down ? -1 : 1) * compare(key(a, column), key(b, column)));
    table.tBodies[0].append(...rows);
  };

  if (table) {
    for (const id of ["find", "board", "cores", "nodes", "only"]) by(id).addEventListener("input", filter);
    by("find").form.addEventListener("submit", (event) => event.preventDefault());
    [...table.tHead.rows[0].cells].forEach((head, column) =>
      head.querySelector("button").addEventListener("click", () => sort(column, head)),
    );
    filter();
  }

  // -- the charts -----------------------------------------------------------------------------------------------------
  const data = JSON.parse(by("data").textContent);
  // In the middle between light and dark: they can be told apart on both grounds, and by their places.
  const colours = ["#3d7fc4", "#c9772b", "#3c9a6a", "#8a6fc0", "#b0893a", "#4b97a5", "#b8607f", "#7c8790"];
  const parts = { compute: colours[0], wait: colours[7], wire: colours[1] };
  const bad = "#d0483f";
  const good = "#3c9a6a";

  // The library reads some HTML in texts: names come from models and boards, and are letters only.
  const label = (text) => String(text).replace(/&/g, "&amp;").replace(/</g, "&lt;").replace(/>/g, "&gt;");
  const cut = (text, most) => label(text.length > most ? `${text.slice(0, most - 1)}…` : text);
  const narrow = () => window.innerWidth < 640;
  const wholes = new Intl.NumberFormat("en");

  const time = (us) =>
    us < 1000 ? `${+us.toFixed(1)} us` : us < 1e6 ? `${(us / 1000).toPrecision(4)} ms` : `${(us / 1e6).toPrecision(4)} s`;
  const shown = (value, unit) => (unit === "us" ? time(value) : `${wholes.format(value)} ${unit}`);
  const timeScale = (most) => (most < 1000 ? [1, "us"] : most < 1e6 ? [1e3, "ms"] : [1e6, "s"]);

  const layout = (height, more = {}) => ({
    height,
    margin: { l: 8, r: 12, t: 8, b: 8 },
    paper_bgcolor: "transparent",
    plot_bgcolor: "transparent",
    font: { family: "system-ui, sans-serif", size: 12, color: "#777777" },
    dragmode: false,
    showlegend: false,
    hoverlabel: { bgcolor: "#20262c", bordercolor: "#20262c", font: { color: "#ffffff" }, align: "left" },
    ...more,
    xaxis: { automargin: true, fixedrange: true, zeroline: false, gridcolor: "#888888", ...more.xaxis },
    yaxis: { automargin: true, fixedrange: true, zeroline: false, gridcolor: "#888888", ...more.yaxis },
  });
  const legend = { showlegend: true, legend: { orientation: "h", x: 0, y: 1, yanchor: "bottom" } };

  const draws = {
    spread(element) {
      const some = data.spread;
      const traces = some.map((one, k) => ({
        type: "box", x: one.off, y: one.off.map(() => k), orientation: "h", boxpoints: one.off.length <= 100 ? "all" : "outliers",
        jitter: 0.4, pointpos: 0, width: 0.6, fillcolor: "rgba(61,127,196,0.15)", line: { color: colours[0], width: 1 },
        marker: { size: 3, color: colours[0] }, name: label(one.title), hoverinfo: "x+name",
      }));
      const ticks = { tickvals: some.map((_, k) => k), ticktext: some.map((one) => cut(one.title, narrow() ? 18 : 48)) };
      return [traces, layout(70 + 34 * some.length, {
        xaxis: { title: { text: "percent off the median" }, ticksuffix: " %" }, yaxis: { ...ticks, autorange: "reversed", showgrid: false },
      })];
    },

    latency(element, found) {
      const { now, before } = found.latency;
      const rows = [["now", now, colours[0]], ["before", before, colours[7]]].filter(([, samples]) => samples.length);
      const [scale, unit] = timeScale(Math.max(...now, ...before));
      const traces = rows.map(([name, samples, colour]) => ({
        type: "box", x: samples.map((us) => us / scale), y: samples.map(() => name), orientation: "h",
        boxpoints: samples.length <= 200 ? "all" : "outliers", jitter: 0.5, pointpos: 0, width: 0.6,
        fillcolor: "rgba(128,128,128,0.12)", line: { color: colour, width: 1 }, marker: { size: 4, color: colour }, name, hoverinfo: "x+name",
      }));
      return [traces, layout(70 + 50 * rows.length, { xaxis: { ticksuffix: ` ${unit}` }, yaxis: { autorange: "reversed", showgrid: false } })];
    },

    operators(element, found) {
      const most = 40;
      const all = found.operators.map((one, k) => ({ ...one, k }));
      const costly = [...all].sort((a, b) => b.cycles - a.cycles).slice(0, most);
      const some = all.filter((one) => costly.includes(one));
      const total = all.reduce((sum, one) => sum + one.cycles, 0) || 1;
      const name = (one) => one.name.replace(/^operator /, "");
      return [[{
        type: "bar", orientation: "h", x: some.map((one) => one.cycles), y: some.map((_, k) => k), marker: { color: colours[0] },
        text: some.map((one) => `${((100 * one.cycles) / total).toFixed(1)} %`), textposition: "outside", cliponaxis: false,
        hoverinfo: "text", hovertext: some.map((one) => `${label(name(one))}: ${wholes.format(one.cycles)}`),
      }], layout(50 + 20 * some.length, {
        bargap: 0.25, margin: { l: 8, r: 56, t: 8, b: 8 },
        yaxis: { tickvals: some.map((_, k) => k), ticktext: some.map((one) => cut(name(one), narrow() ? 16 : 40)), autorange: "reversed", showgrid: false },
      })];
    },

    course(element, found) {
      const nodes = found.nodes;
      const pieces = nodes.flatMap((node, k) => node.course.map((piece) => ({ ...piece, k })));
      const [scale, unit] = timeScale(Math.max(...pieces.map((piece) => piece.start + piece.length), 0));
      const traces = Object.entries(parts).map(([what, colour]) => {
        const own = pieces.filter((piece) => piece.what === what);
        return {
          type: "bar", orientation: "h", name: what, y: own.map((piece) => piece.k), base: own.map((piece) => piece.start / scale),
          x: own.map((piece) => piece.length / scale), marker: { color: colour, line: { width: 0 } }, hoverinfo: "text", textposition: "none",
          hovertext: own.map((piece) => `node ${nodes[piece.k].number}: ${what} ${time(piece.length)} from ${time(piece.start)}, ${piece.what === "compute" ? "before" : "in"}: ${cut(piece.behind, 60)}`),
        };
      });
      return [traces, layout(90 + 30 * nodes.length, {
        ...legend, barmode: "overlay", bargap: 0.25, margin: { l: 8, r: 12, t: 30, b: 8 }, xaxis: { ticksuffix: ` ${unit}`, rangemode: "tozero" },
        yaxis: { tickvals: nodes.map((_, k) => k), ticktext: nodes.map((node) => `node ${node.number}`), autorange: "reversed", showgrid: false },
      })];
    },

    map(element, found) {
      const node = found.nodes[Number(element.dataset.node)];
      const { columns, places, arena } = node.map;
      const short = columns.map((name) => name.replace(/operator /g, ""));
      // Below the axis there is room for numbers only; what moves data has none.
      const numbers = columns.map((name) => [...name.matchAll(/operator (\d+)/g)].map((found) => found[1]).join("–") || "·");
      const trace = {
        type: "bar", x: places.map(([, , , first, last]) => (first + last) / 2), width: places.map(([, , , first, last]) => last - first + 0.96),
        base: places.map(([, offset]) => offset), y: places.map(([, , bytes]) => bytes), textposition: "none", hoverinfo: "text",
        marker: { color: places.map((_, k) => colours[k % colours.length]), opacity: 0.75, line: { width: 0.5, color: "#20262c" } },
        hovertext: places.map(([tensor, offset, bytes, first, last]) =>
          `${cut(tensor, 70)}<br>${wholes.format(bytes)} bytes at ${wholes.format(offset)}<br>${cut(short[first] || "", 40)}` +
          (last > first ? ` to ${cut(short[last], 40)}` : "")),
      };
      const line = (y, dash, colour) => ({ type: "line", xref: "paper", x0: 0, x1: 1, y0: y, y1: y, line: { dash, color: colour, width: 2 } });
      const step = Math.max(1, Math.ceil(columns.length / (narrow() ? 10 : 32)));
      const ticks = columns.map((_, k) => k).filter((k) => k % step === 0);
      return [[trace], layout(340, {
        barmode: "overlay", bargap: 0, margin: { l: 8, r: 12, t: 22, b: 8 },
        shapes: [line(node.arena, "dash", bad)],
        annotations: [{ xref: "paper", x: 1, y: node.arena, yanchor: "bottom", xanchor: "right", showarrow: false, text: `measured ${wholes.format(node.arena)}` }],
        xaxis: { tickvals: ticks, ticktext: ticks.map((k) => numbers[k]), tickangle: 0, title: { text: "operator" }, showgrid: false, range: [-0.5, columns.length - 0.5] },
        yaxis: { title: { text: "byte of the arena" }, range: [0, 1.08 * Math.max(arena, node.arena, 1)], tickformat: ",d" },
      })];
    },

    history(element, found) {
      const { unit, points: packed } = found.history[Number(element.dataset.node)];
      const points = packed.map(([run, value, low, high, passed, step]) => {
        const [name, when, revision] = data.runs[run];
        return { run: name, when, revision, value, low, high, passed, step };
      });
      const [scale, shownUnit] = unit === "us" ? timeScale(Math.max(...points.map((point) => point.high))) : [1, unit];
      const x = points.map((_, k) => k);
      const mark = (point) => (point.step === "worse" ? bad : point.step === "better" ? good : colours[0]);
      const says = (point) => [
        point.run, point.when, shown(point.value, unit), point.revision && `revision ${label(point.revision)}`,
        !point.passed && "did not pass", point.step && `${point.step} from here on`,
      ].filter(Boolean).map((text) => label(text)).join("<br>");
      const values = points.map((point) => point.value / scale);
      const most = Math.max(...points.map((point) => point.high / scale));
      const least = Math.min(...points.map((point) => point.low / scale));
      const room = (most - least) * 0.2 || most * 0.05 || 1;
      const ticks = x.filter((k) => k % Math.max(1, Math.ceil(points.length / (narrow() ? 3 : 8))) === 0);
      return [[{
        type: "scatter", mode: "lines+markers", x, y: values, line: { color: colours[0], width: 1.5, shape: "hv" }, hoverinfo: "text",
        hovertext: points.map(says),
        marker: {
          color: points.map(mark), size: points.map((point) => (point.step ? 12 : 6)),
          symbol: points.map((point) => (point.step === "worse" ? "triangle-up" : point.step === "better" ? "triangle-down" : point.passed ? "circle" : "x")),
        },
        error_y: {
          type: "data", symmetric: false, array: points.map((point) => (point.high - point.value) / scale),
          arrayminus: points.map((point) => (point.value - point.low) / scale), color: colours[7], thickness: 1, width: 2,
          visible: points.some((point) => point.high !== point.low),
        },
      }], layout(190, {
        xaxis: { tickvals: ticks, ticktext: ticks.map((k) => label(points[k].when.slice(5, 16))), showgrid: false, range: [-0.5, Math.max(points.length - 0.5, 0.5)] },
        yaxis: { ticksuffix: ` ${label(shownUnit)}`, range: [Math.max(0, least - room), most + room], tickformat: unit === "us" ? "" : ",d", nticks: 5 },
      })];
    },
  };

  const draw = (element) => {
    if (element.dataset.drawn) return;
    element.dataset.drawn = "yes";
    const [traces, shape] = draws[element.dataset.chart](element, data.cases[element.dataset.case]);
    Plotly.newPlot(element, traces, shape, { displayModeBar: false, responsive: true, showTips: false });
  };
  const drawIn = (part) => {
    for (const element of part.querySelectorAll("[data-chart]")) if (!element.closest("details.card:not([open])")) draw(element);
  };
  drawIn(document);
  for (const part of document.querySelectorAll("details.card")) part.addEventListener("toggle", () => part.open && drawIn(part));

  // A link to a case opens it.
  const open = () => {
    let target = null;
    try {
      target = by(decodeURIComponent(location.hash.slice(1)));
    } catch {
      return; // not a name that a page can have
    }
    if (!target || !target.matches("details")) return;
    target.open = true;
    target.scrollIntoView();
    target.querySelector("summary").focus({ preventScroll: true });
  };
  window.addEventListener("hashchange", open);
  document.addEventListener("click", (event) => {
    const link = event.target.closest("a[href^='#case-']");
    if (link && link.hash === location.hash) open(); // the same link once more
  });
  open();

  // On paper charts have another width.
  window.addEventListener("beforeprint", () => {
    for (const element of document.querySelectorAll("[data-drawn]")) Plotly.Plots.resize(element);
  });
})();
