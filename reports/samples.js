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
