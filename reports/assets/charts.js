// The charts: every panel is a Vega view of its own, as wide as its place on the page. What the state of the page leaves of a
// section's rows is smoothed, coloured and handed to its panels, now and whenever the state changes.
function unpacked({ columns, ...shared }) {
  const names = Object.keys(columns);
  return (columns[names[0]] ?? []).map((_, i) => {
    const known = names.filter((name) => columns[name][i] !== null);
    return { ...shared, ...Object.fromEntries(known.map((name) => [name, columns[name][i]])) };
  });
}

const sections = [...document.querySelectorAll("script[data-charts]")].map((script) => {
  const { lines, ...section } = JSON.parse(script.textContent);
  const rows = lines.flatMap(unpacked);
  const element = document.getElementById(`chart-${script.dataset.charts}`);
  const panels = section.panels.map((panel) => {
    const place = element.querySelector(`[data-panel="${panel.name}"]`);
    return { ...panel, element: place, caption: place.closest("figure").querySelector("small") };
  });
  return { ...section, name: script.dataset.charts, rows, element, panels };
});
const dark = matchMedia("(prefers-color-scheme: dark)");
const colourOf = (name) => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
const COLOURS = 8;
const FADED = 0.18;
let palette = [];

function readColours() {
  document.documentElement.classList.toggle("dark", dark.matches); // the tables' library looks for it
  palette = Array.from({ length: COLOURS }, (_, i) => colourOf(`series-${i}`));
}

// The lines of a section's legends. Where none of a sweep's section gives colours, they are of what is chosen, in its order; dashes
// tell colours apart that come again.
page.legendsOf = (section) => {
  if (!page.runs || section.legends.some((legend) => legend.gives.includes("colour"))) return section.legends;
  const field = page.value("colour");
  const entries = page.runs.orders[field].map((value, i) => ({
    value, text: value, colour: i % COLOURS, dash: [[1, 0], [6, 3], [2, 2]][Math.floor(i / COLOURS) % 3], shape: "circle",
  }));
  return [{ field, title: "", entries, gives: ["colour", "dash", "shape"] }, ...section.legends];
};

const valueOf = (row, field) => row[field] ?? page.runs?.configurations[row.c]?.[field];

function looksOf(section) {
  const legends = page.legendsOf(section);
  const entries = legends.map((legend) => new Map(legend.entries.map((entry) => [entry.value, entry])));
  const ink = colourOf("ink");
  return (row) => {
    const look = { colour: legends.length ? -1 : 0, dash: [1, 0], shape: "circle" };
    legends.forEach((legend, i) => {
      const entry = entries[i].get(valueOf(row, legend.field));
      if (entry) for (const name of legend.gives) look[name] = entry[name];
    });
    return { ...look, colour: palette[look.colour] ?? ink };
  };
}

function isHiddenBy(section) {
  const [hidden, fields] = [page.hidden(), page.legendsOf(section).map((legend) => legend.field)];
  return (row) => fields.some((field) => hidden.has(valueOf(row, field)));
}

const columnOf = (field) => (field[0] === "@" ? page.value(field.slice(1)) : field);

function labelOf(section, row) {
  const configuration = page.runs?.configurations[row.c]?.configuration;
  const seed = row.s === undefined ? "" : ` · seed ${page.runs.orders.seed[row.s]}`;
  return configuration ? configuration + seed : (row.label ?? (section.legends[0] ? valueOf(row, section.legends[0].field) : ""));
}

// The rows of all panels as their specifications want them, by line, in the order of the steps.
function fill(section) {
  const weight = section.is_smoothed ? Number(page.value("smoothing")) : 0;
  const [shows, isHidden, look, chosen] = [page.filterOf(section), isHiddenBy(section), looksOf(section), page.chosen()];
  const rows = section.rows.filter((row) => shows(row) && !isHidden(row));
  const styles = rows.map((row) => ({
    ...look(row),
    kind: valueOf(row, "kind"),
    label: labelOf(section, row) ?? "",
    opacity: opacityOf(section, row, chosen),
  }));
  for (const panel of section.panels) {
    const fields = Object.entries(panel.fields).map(([name, field]) => [name, columnOf(field)]);
    const lines = new Map();
    rows.forEach((row, i) => {
      if (Object.entries(panel.where).some(([name, value]) => row[name] !== value)) return;
      const one = { ...styles[i], row, line: [row.c, row.s, panel.where.m ? "" : row.m, row.r, row.label].join("|") };
      for (const name of ["c", "s", "m"]) if (row[name] !== undefined) one[name] = row[name];
      for (const [name, field] of fields) one[name] = row[field] ?? null;
      if (!lines.has(one.line)) lines.set(one.line, []);
      lines.get(one.line).push(one);
    });
    const value = panel.fitted.y ? "y" : "x";
    panel.rows = [...lines.values()].filter((line) => line.some((one) => one[value] !== null)).flatMap((line) => smooth(line, weight));
    panel.isLog = page.logs().has(logName(section, panel));
    panel.lost = panel.isLog ? loseUnloggable(panel) : 0;
  }
  for (const panel of section.panels) {
    const same = section.panels.filter((other) => other === panel || (panel.shared && other.shared === panel.shared));
    panel.ends = Object.fromEntries(Object.entries(panel.fitted).flatMap(([axis, names]) => {
      const values = same.flatMap((other) => other.rows.flatMap((one) => names.map((name) => one[name])));
      const isLog = panel.isLog && panel.log === axis;
      const ends = page.endsOf(values, { isLog, hasZero: panel.zero === axis, isTight: axis === "x" && panel.crosshair });
      return [[`${axis}0`, ends[0]], [`${axis}1`, ends[1]]];
    }));
    if (panel.isLog && panel.log === "y") for (const one of panel.rows) if (one.low <= 0 && one.low !== null) one.low = panel.ends.y0;
  }
}

// A logarithmic axis has no place for 0 and less: such points are gaps, and counted. A band goes on to the axis's end.
function loseUnloggable(panel) {
  const lost = panel.rows.filter((one) => one[panel.log] !== null && one[panel.log] <= 0);
  for (const one of panel.rows) for (const name of [panel.log, "raw"]) if (one[name] <= 0) one[name] = null;
  return lost.length;
}

// What is not chosen fades; of a chosen run its own line stands out from the mean of its configuration.
function opacityOf(section, row, chosen) {
  const usual = section.has_seeds && row.s !== undefined ? 0.45 : 1;
  if (!chosen || row.c === undefined) return usual;
  if (row.c !== chosen.c) return FADED;
  if (chosen.s === undefined) return usual;
  return row.s === chosen.s ? 1 : 0.42;
}

function smooth(line, weight) {
  const faint = line[0].opacity === FADED;
  const names = faint ? ["y"] : ["y", "low", "high"];
  if (faint) for (const one of line) one.low = one.high = null;
  if (weight > 0) {
    if (!faint) for (const one of line) one.raw = one.y;
    for (const name of names) page.smoothed(line.map((one) => one[name]), weight).forEach((value, i) => (line[i][name] = value));
  }
  return line;
}

const logName = (section, panel) => `${section.name}.${panel.shared || panel.name}`;

// Vega's rows hold what it draws; what they come from stays here.
const drawn = (panel) => panel.rows.map(({ row, ...one }) => one);

function looks() {
  const [ink, line] = [colourOf("soft"), colourOf("line")];
  const axis = { labelColor: ink, titleColor: ink, gridColor: line, domainColor: ink, tickColor: ink };
  return { axis, text: { color: colourOf("ink") }, rule: { color: ink }, point: { color: ink } };
}

function specOf(panel) {
  const spec = structuredClone(panel.spec);
  if (panel.isLog)
    for (const layer of spec.layer) {
      const channel = layer.encoding[panel.log];
      if (channel?.scale) channel.scale.type = "log";
      if (channel?.axis) Object.assign(channel.axis, { format: "~g", ...page.logTicks(panel.ends[`${panel.log}0`], panel.ends[`${panel.log}1`]) });
    }
  spec.params = spec.params.map((param) => ({ ...param, value: panel.ends[param.name] ?? param.value }));
  spec.datasets = { ...spec.datasets, rows: drawn(panel), hovered: [] };
  return spec;
}

const OPTIONS = { renderer: "svg", tooltip: false, actions: { export: true, source: false, compiled: false, editor: false } };

async function embed(section, panel) {
  if (!section.isFilled) fill(section);
  section.isFilled = true;
  panel.drawing = true;
  panel.view?.finalize();
  panel.view = null;
  panel.drawnLog = panel.isLog;
  panel.caption.textContent = panel.lost ? `${panel.lost} points at or below 0 have no place here` : "";
  const turn = (panel.turn = (panel.turn ?? 0) + 1);
  const options = { ...OPTIONS, config: looks(), downloadFileName: `${section.name} ${panel.title}` };
  const { view } = await vegaEmbed(panel.element, specOf(panel), options);
  panel.element.querySelector("summary").setAttribute("aria-label", `save the picture: ${panel.title}`);
  if (turn === panel.turn) panel.view = view;
}

function refresh(section) {
  fill(section);
  section.isFilled = true;
  for (const panel of section.panels) {
    if (!panel.drawing) continue;
    if (!panel.view || panel.drawnLog || panel.isLog) {
      embed(section, panel); // its axis or its ticks are others
      continue;
    }
    for (const [name, value] of Object.entries(panel.ends)) panel.view.signal(name, value);
    panel.view.data("rows", drawn(panel)).data("hovered", []).runAsync();
  }
}

// Charts are drawn when they come into view, and the rest when the browser has time.
function drawAll() {
  for (const section of sections) for (const panel of section.panels) if (!panel.drawing) embed(section, panel);
}

async function drawRest() {
  for (const section of sections)
    for (const panel of section.panels) {
      if (panel.drawing) continue;
      await new Promise((resolve) => requestIdleCallback(resolve, { timeout: 1000 }));
      if (!panel.drawing) await embed(section, panel);
    }
}

function start() {
  readColours();
  const places = new Map(sections.flatMap((section) => section.panels.map((panel) => [panel.element, [section, panel]])));
  const observer = new IntersectionObserver(
    (seen) => {
      for (const { isIntersecting, target } of seen) {
        const [section, panel] = places.get(target);
        if (!isIntersecting || panel.drawing) continue;
        observer.unobserve(target);
        embed(section, panel);
      }
    },
    { rootMargin: "200px" },
  );
  places.forEach((_, element) => observer.observe(element));
  addEventListener("load", drawRest);
  addEventListener("beforeprint", drawAll);
  dark.addEventListener("change", () => {
    readColours();
    for (const section of sections) {
      fill(section);
      section.panels.filter((panel) => panel.drawing).forEach((panel) => embed(section, panel));
    }
  });
  page.onChange(refreshSoon);
}

// Several changes at once are drawn once.
let isWaiting = false;
function refreshSoon() {
  if (isWaiting) return;
  isWaiting = true;
  requestAnimationFrame(() => {
    isWaiting = false;
    sections.filter((section) => section.isFilled).forEach(refresh);
  });
}

Object.assign(page, { sections, startCharts: start, logName, labelOf, valueOf });
