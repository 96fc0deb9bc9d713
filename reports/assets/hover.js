// What the mouse does on a chart: it finds the nearest point, says what that is, marks its step in all charts of the section,
// and a click chooses the point's run.
const tip = document.createElement("div");
tip.className = "tip";
tip.hidden = true;
document.body.append(tip);
let hovered = null; // { section, panel, one } of the point that is told about

const number = (value) => (typeof value === "number" ? String(Number(value.toPrecision(4))) : value);

function mouseIn(panel, event) {
  const box = panel.element.querySelector("svg").getBoundingClientRect();
  const [origin, padding] = [panel.view.origin(), panel.view.padding()];
  return [event.clientX - box.left - origin[0] - padding.left, event.clientY - box.top - origin[1] - padding.top];
}

function hover(section, panel, event) {
  if (!panel.view) return;
  const faintest = Math.max(...panel.rows.map((one) => one.opacity)) === 1 ? 0.4 : 0;
  const points = panel.rows.filter((one) => one.x !== null && one.y !== null && one.opacity > faintest);
  const scales = ["x", "y"].map((axis) => panel.view.scale(axis));
  const places = points.map((one) => [scales[0](one.x), scales[1](one.y)]);
  const nearest = page.nearestOf(places, mouseIn(panel, event));
  if (nearest < 0) return leave();
  const one = points[nearest];
  const [x, y] = places[nearest];
  const here = points.filter((other, i) => other.label !== one.label && Math.hypot(places[i][0] - x, places[i][1] - y) < 1);
  if (hovered?.one !== one) mark(section, panel, one);
  hovered = { section, panel, one };
  tell(section, panel, one, [...new Set(here.map((other) => other.label))], event);
}

function mark(section, panel, one) {
  for (const other of section.panels) {
    if (!other.view) continue;
    const same = other === panel ? one : other.rows.find((each) => each.line === one.line && each.x === one.x);
    const { x, y, label, colour } = { ...one, y: null, ...same };
    const marks = other === panel || panel.crosshair ? [{ x, y, label, colour }] : [];
    other.view.data("hovered", marks).runAsync();
  }
}

function tell(section, panel, one, others, event) {
  const says = Object.entries(panel.says).map(([name, caption]) => [caption, one[name]]);
  const facts = Object.entries(section.facts).map(([name, caption]) => [caption, page.valueOf(one.row, name)]);
  const lines = [...says, ...facts, ["also here", others.join(", ") || null]].filter(([, value]) => value != null && value !== "");
  const title = document.createElement("b");
  title.textContent = one.label || panel.title;
  const list = document.createElement("dl");
  for (const [caption, value] of lines) {
    const [term, text] = [document.createElement("dt"), document.createElement("dd")];
    term.textContent = caption;
    text.textContent = number(value);
    list.append(term, text);
  }
  tip.replaceChildren(title, list);
  tip.style.borderColor = one.colour;
  tip.hidden = false;
  const [width, height] = [tip.offsetWidth, tip.offsetHeight];
  const right = event.clientX + 18 + width < document.documentElement.clientWidth;
  tip.style.left = `${right ? event.clientX + 18 : Math.max(4, event.clientX - 18 - width)}px`;
  tip.style.top = `${Math.max(4, Math.min(event.clientY + 14, innerHeight - height - 4))}px`;
}

function leave() {
  tip.hidden = true;
  if (!hovered) return;
  for (const panel of hovered.section.panels) panel.view?.data("hovered", []).runAsync();
  hovered = null;
}

for (const section of page.sections)
  for (const panel of section.panels) {
    panel.element.addEventListener("pointermove", (event) => hover(section, panel, event));
    panel.element.addEventListener("pointerdown", (event) => hover(section, panel, event));
    panel.element.addEventListener("pointerleave", leave);
    panel.element.addEventListener("click", (event) => {
      if (hovered && event.target.closest("svg") && !event.target.closest("summary")) page.pick(hovered.one.row);
    });
  }
page.onChange(leave);
