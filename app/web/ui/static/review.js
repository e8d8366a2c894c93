// The review page: the space bar, words for who cannot see, and a decision that a session which ran out does not lose.
"use strict";

document.addEventListener("keydown", (event) => {
  const isFree = event.target === document.body || event.target.id === "main";
  if (event.key !== " " || !isFree || event.ctrlKey || event.metaKey || event.altKey || document.querySelector("dialog[open]")) return;
  const next = document.getElementById("next");
  if (!next) return;
  event.preventDefault();
  next.click();
});

document.addEventListener("htmx:afterSwap", (event) => {
  const words = document.querySelector("#review [data-said]");
  if (event.detail.target.id === "review" && words) document.getElementById("said").textContent = words.textContent.trim();
});

// htmx gives the focus back to the field of the label, where the next key would be typed into the label of another picture.
document.addEventListener("htmx:afterSettle", () => {
  if (document.activeElement?.id === "label") document.getElementById("main").focus({ preventScroll: true });
});

// What could not be sent stays, with a button that sends it once the reviewer has signed in again.
let pending = null;

document.addEventListener("htmx:responseError", (event) => {
  const { xhr, elt, requestConfig } = event.detail;
  if (xhr.status !== 401 && xhr.status !== 403) return;
  const form = elt.closest("form");
  if (!form || !form.closest("#review")) return;
  const sender = requestConfig.triggeringEvent?.submitter ?? null;
  pending = { form, sender };
  const data = new FormData(form, sender);
  offer(`${data.get("action")}${data.get("scope") ? "" : ` image ${data.get("image")}`}`);
});

function offer(words) {
  let box = document.getElementById("pending");
  if (!box) {
    box = document.createElement("p");
    box.id = "pending";
    box.className = "notice calm row";
    document.getElementById("review").before(box);
  }
  const again = document.createElement("button");
  again.type = "button";
  again.textContent = `Send it again: ${words}`;
  again.addEventListener("click", sendAgain);
  box.replaceChildren("Your decision is kept on this page. Sign in, then ", again);
}

async function sendAgain() {
  if (!pending || !(await renewToken())) return;
  const { form, sender } = pending;
  pending = null;
  document.getElementById("pending").remove();
  showProblem("");
  form.requestSubmit(sender);
}
