// The form of a new build: what is too large is said before it is sent, a button works once, and a plan that is old says so.
"use strict";

const form = document.getElementById("build");

const sizeOf = () => {
  const file = form.elements.file.files[0];
  return [...form.querySelectorAll("textarea")].reduce((sum, area) => sum + new Blob([area.value]).size, file ? file.size : 0);
};

form.addEventListener("submit", (event) => {
  const most = Number(form.dataset.mostBytes);
  const size = sizeOf();
  if (size > most) {
    event.preventDefault();
    const million = (bytes) => (bytes / 1e6).toFixed(1);
    showProblem(
      `The list has ${million(size)} MB; this server takes ${million(most)} MB (serve.max_body_bytes). ` +
        "Compress it (.gz, .zst), or run pictrawl build --urls FILE, which takes a list of any length.",
    );
    (form.elements.file.files[0] ? form.elements.file : form.elements.urls).focus();
    return;
  }
  const isStart = event.submitter?.name === "start";
  document.getElementById("busy").textContent = isStart ? "Starting …" : "Making the plan: sources are asked for counts …";
  // after the browser has read the form, which leaves a disabled button out
  setTimeout(() => {
    for (const button of document.querySelectorAll('button.main, button[form="build"]')) button.disabled = true;
  });
});

// The browser keeps a page as it was left: with its buttons off.
window.addEventListener("pageshow", (event) => {
  if (!event.persisted) return;
  document.getElementById("busy").textContent = "";
  for (const button of document.querySelectorAll("button:disabled")) button.disabled = false;
});

form.addEventListener("input", () => {
  const stale = document.getElementById("stale");
  if (stale) stale.hidden = false;
});
