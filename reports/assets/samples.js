// Blocks that can be opened: `page.open(id)` shows the element of that id, and whatever has data-opens="ID" opens it when clicked.
page.open = (id) => {
  const block = document.getElementById(id);
  if (!block) return;
  for (let each = block.closest("details"); each; each = each.parentElement.closest("details")) each.open = true;
  block.scrollIntoView({ block: "start" });
  (block.querySelector("summary") ?? block).focus({ preventScroll: true });
};

addEventListener("click", (event) => {
  const opener = event.target.closest?.("[data-opens]");
  if (opener) page.open(opener.dataset.opens);
});

// The sliders over steps go together: all blocks show the step that is chosen on any of them, or the last one before it that
// they have samples of; without a choice their last view, which is the end.
const sampleBlocks = [...document.querySelectorAll("label.steps")].map((label) => ({
  slider: label.querySelector("input"),
  output: label.querySelector("output"),
  views: [...label.parentElement.querySelectorAll(":scope > .view")],
}));
const stepOf = (view) => (view.dataset.step === "" ? Infinity : Number(view.dataset.step));

function showStep() {
  const chosen = Number(page.get("step", "Infinity"));
  for (const { slider, output, views } of sampleBlocks) {
    const before = views.findLastIndex((view) => stepOf(view) <= (Number.isNaN(chosen) ? Infinity : chosen));
    const shown = views[Math.max(before, 0)];
    for (const view of views) view.hidden = view !== shown;
    slider.value = views.indexOf(shown);
    slider.ariaValueText = output.textContent = shown.dataset.title;
  }
}

for (const { slider, views } of sampleBlocks) {
  const last = String(views.length - 1);
  slider.addEventListener("input", () => page.set("step", slider.value === last ? "" : views[slider.value].dataset.step, ""));
}
page.onChange((name) => {
  if (name === undefined || name === "step") showStep();
});
showStep();
