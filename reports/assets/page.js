// The page's controls and what they steer: which runs its charts, tables and samples show, and which run is chosen.
page.runs = JSON.parse(document.getElementById("runs-of-page")?.textContent ?? "null");
const controls = new Map([...document.querySelectorAll("[data-state]")].map((control) => [control.dataset.state, control]));
const usualOf = (control) => control.dataset.usual ?? control.options[0].value;

// What a control says, also from a fragment that someone wrote: a choice that it does not offer is none.
page.value = (key) => {
  const control = controls.get(key);
  if (!control) return page.get(key);
  const value = page.get(key, usualOf(control));
  const isOffered = control.options ? [...control.options].some((option) => option.value === value) : Number.isFinite(Number(value));
  return isOffered ? value : usualOf(control);
};
page.hidden = () => new Set(page.get("hide").split("|").filter(Boolean));
page.logs = () => new Set(page.get("log").split(",").filter(Boolean));

// The chosen run, { c, s, run }, or configuration, { c }; null without any.
page.chosen = () => {
  const run = page.runs?.runs[page.get("run", "-1")];
  if (run) return { ...run, run: Number(page.get("run")) };
  const c = page.runs?.orders.configuration.indexOf(page.get("configuration")) ?? -1;
  return c < 0 ? null : { c };
};

function configurationFilter() {
  const chosen = [...controls.keys()].filter((key) => key in (page.runs?.configurations[0] ?? {})).map((key) => [key, page.value(key)]);
  const wanted = chosen.filter(([, value]) => value !== "");
  return (page.runs?.configurations ?? []).map((each) => wanted.every(([key, value]) => each[key] === value));
}

// Whether a row of a section is drawn. One without a seed's number (s) stands for all seeds of its configuration: those are
// drawn, or the one that is chosen.
page.filterOf = (section) => {
  const [shown, seed, chosen] = [configurationFilter(), page.value("seed"), page.chosen()];
  const own = Object.entries(section.by).map(([key, field]) => [field, page.value(key)]).filter(([, value]) => value !== "");
  return (row) => {
    if (own.some(([field, value]) => row[field] !== value)) return false;
    if (row.of) return row.of.every((c) => shown[c]);
    if (row.c === undefined) return true;
    if (!shown[row.c]) return false;
    if (row.s === undefined) return seed === "";
    return seed === "" ? section.has_seeds || (row.c === chosen?.c && row.s === chosen.s) : page.runs.orders.seed[row.s] === seed;
  };
};

function showsRun(number, shown, seed) {
  const run = page.runs.runs[number];
  return shown[run.c] && (seed === "" || page.runs.orders.seed[run.s] === seed);
}

function isElementShown(element, shown, seed) {
  if (!page.runs || !element) return true;
  if (element.dataset.run !== undefined) return showsRun(element.dataset.run, shown, seed);
  return element.dataset.configuration === undefined || shown[element.dataset.configuration];
}

// Tables that sort are filtered by their library, all else by being hidden.
let tables = null;
let filtered = { shown: configurationFilter(), seed: page.value("seed") };
page.filterTables = (library) => {
  library.ext.search.push((settings, _, index) => isElementShown(settings.aoData[index].nTr, filtered.shown, filtered.seed));
  tables = library;
};

function filterElements() {
  const [shown, seed, chosen] = [configurationFilter(), page.value("seed"), page.chosen()];
  const isSame = JSON.stringify(filtered) === JSON.stringify({ shown, seed });
  filtered = { shown, seed };
  if (!isSame) tables?.tables({ api: true }).draw();
  for (const element of document.querySelectorAll("[data-run], [data-configuration]")) {
    if (!element.closest("table.dataTable")) element.hidden = !isElementShown(element, shown, seed);
    element.classList.toggle("chosen", chosen?.run !== undefined && element.dataset.run === String(chosen.run));
  }
  if (!page.runs) return;
  const count = page.runs.runs.filter((_, i) => showsRun(i, shown, seed)).length;
  document.getElementById("count").textContent = `${count} of ${page.runs.runs.length} runs`;
}

function showControls() {
  for (const [key, control] of controls) {
    control.value = page.value(key);
    if (control.nextElementSibling?.tagName === "OUTPUT") control.nextElementSibling.textContent = control.value;
  }
  const logs = page.logs();
  for (const button of document.querySelectorAll("[data-log]")) button.setAttribute("aria-pressed", String(logs.has(button.dataset.log)));
}

function showChosen() {
  const [chosen, bar] = [page.chosen(), document.getElementById("chosen")];
  if (!bar) return;
  bar.hidden = !chosen;
  if (!chosen) return bar.replaceChildren();
  const title = document.createElement("b");
  title.textContent = page.runs.orders.configuration[chosen.c];
  const buttons = page.runs.runs.flatMap((run, i) => (run.c === chosen.c ? [seedButton(run, i, chosen)] : []));
  bar.replaceChildren(title, ...buttons, actionButton("choose none", () => choose("", "")));
}

function actionButton(text, action) {
  const button = document.createElement("button");
  button.type = "button";
  button.textContent = text;
  button.addEventListener("click", action);
  return button;
}

function seedButton(run, i, chosen) {
  const button = actionButton(`seed ${page.runs.orders.seed[run.s]}`, () => openRun(i));
  button.setAttribute("aria-pressed", String(chosen.run === i));
  return button;
}

function choose(run, configuration) {
  page.set("configuration", configuration);
  page.set("run", run);
}

// A run is chosen and what it leads to is opened: its samples, or its row where it has none.
function openRun(run) {
  choose(run, "");
  showRun(run);
}

function showRun(run) {
  const block = document.querySelector(`#samples [data-run="${run}"]`) ?? document.querySelector(`tr[data-run="${run}"]`);
  if (!block) return;
  if (block.tagName === "DETAILS") block.open = true;
  block.scrollIntoView({ block: "start" });
}

// A click on a point: its run, or where it stands for several runs its configuration, whose runs are then offered above.
page.pick = (row) => {
  if (row.c === undefined) return;
  const [chosen, runs] = [page.chosen(), page.runs.runs];
  const numbers = runs.flatMap((run, i) => (run.c === row.c && (row.s === undefined || run.s === row.s) ? [i] : []));
  if (numbers.length === 1) return chosen?.run === numbers[0] ? choose("", "") : openRun(numbers[0]);
  const name = page.runs.orders.configuration[row.c];
  choose("", chosen?.c === row.c && chosen.run === undefined ? "" : name);
};

for (const [key, control] of controls) {
  control.addEventListener(control.type === "range" ? "input" : "change", () => page.set(key, control.value, usualOf(control)));
}
addEventListener("keydown", (event) => {
  if (event.key === "Escape" && page.chosen()) choose("", "");
});
addEventListener("click", (event) => {
  const log = event.target.closest("[data-log]");
  if (log) {
    const logs = page.logs();
    if (!logs.delete(log.dataset.log)) logs.add(log.dataset.log);
    page.set("log", [...logs].join(","));
  }
  const row = event.target.closest("tr[data-run]");
  if (row && String(getSelection()) === "") openRun(row.dataset.run);
});

function show() {
  showControls();
  showChosen();
  filterElements();
}
page.onChange(show);
page.start = () => {
  show();
  tables?.tables({ api: true }).draw();
  if (page.chosen()?.run !== undefined) showRun(page.chosen().run);
};
