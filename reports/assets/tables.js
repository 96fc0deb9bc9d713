// Tables that can be sorted scroll in containers of their own, which the keyboard has to reach.
addEventListener("load", () => {
  for (const body of document.querySelectorAll(".dt-scroll-body")) {
    body.tabIndex = 0;
    body.role = "region";
    body.ariaLabel = body.closest("section").querySelector("h2").textContent;
  }
});
