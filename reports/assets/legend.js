// Legends: a button for each colour or shape of a section's charts, in order, which hides what it stands for and shows it again.
const SHAPES = {
  circle: "M-4 0a4 4 0 1 0 8 0a4 4 0 1 0-8 0", square: "M-4-4h8v8h-8z", "triangle-up": "M0-5L5 4H-5z",
  "triangle-down": "M0 5L5-4H-5z", "triangle-right": "M5 0L-4-5V5z", diamond: "M0-5.5L5.5 0L0 5.5L-5.5 0z", cross: "M-5-2h3v-3h4v3h3v4h-3v3h-4v-3h-3z",
};
const SVG = "http://www.w3.org/2000/svg";

function swatch(entry, legend) {
  const picture = document.createElementNS(SVG, "svg");
  const colour = entry.colour < 0 ? "var(--soft)" : `var(--series-${entry.colour})`;
  for (const [name, value] of Object.entries({ width: 26, height: 12, viewBox: "-13 -6 26 12", "aria-hidden": "true" }))
    picture.setAttribute(name, value);
  const draw = (path, looks) => {
    const mark = document.createElementNS(SVG, "path");
    mark.setAttribute("d", path);
    mark.style.cssText = looks;
    picture.append(mark);
  };
  if (legend.gives.includes("dash")) draw("M-13 0H13", `stroke:${colour};stroke-width:2.5;stroke-dasharray:${entry.dash.join()}`);
  const shape = legend.gives.includes("shape") ? entry.shape : "circle";
  if (!legend.gives.includes("dash") || shape !== "circle") draw(SHAPES[shape], `fill:${colour}`);
  return picture;
}

function toggle(value) {
  const hidden = page.hidden();
  if (!hidden.delete(value)) hidden.add(value);
  page.set("hide", [...hidden].join("|"));
}

function buttonOf(entry, legend, hidden) {
  const button = document.createElement("button");
  button.type = "button";
  button.dataset.value = entry.value;
  button.title = "hide or show";
  button.setAttribute("aria-pressed", String(!hidden.has(entry.value)));
  button.append(swatch(entry, legend), entry.text);
  button.addEventListener("click", () => toggle(entry.value));
  return button;
}

function drawLegend(section) {
  const shows = page.filterOf(section);
  const rows = section.rows.filter(shows);
  const focused = section.element.contains(document.activeElement) ? document.activeElement.dataset.value : undefined;
  const hidden = page.hidden();
  const groups = page.legendsOf(section).map((legend) => {
    const there = new Set(rows.map((row) => page.valueOf(row, legend.field)));
    const group = document.createElement("div");
    group.setAttribute("role", "group");
    group.setAttribute("aria-label", legend.title || "legend");
    group.append(...legend.entries.filter((entry) => there.has(entry.value)).map((entry) => buttonOf(entry, legend, hidden)));
    return group;
  });
  const place = section.element.querySelector(".legend");
  place.replaceChildren(...groups);
  [...place.querySelectorAll("button")].find((button) => button.dataset.value === focused)?.focus();
}

const drawLegends = () => page.sections.forEach(drawLegend);
drawLegends();
page.onChange(drawLegends);
