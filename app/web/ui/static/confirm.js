// Questions before something is done for good: a part loaded into <dialog id="confirm"> opens it; its Cancel closes it and stays on the page.
"use strict";

document.addEventListener("htmx:afterSwap", (event) => {
  const dialog = event.detail.target;
  if (dialog.id === "confirm") dialog.showModal();
});

document.addEventListener("click", (event) => {
  if (event.target.closest("#confirm [data-closes]")) event.preventDefault();
});
