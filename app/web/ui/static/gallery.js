// The contact sheet: it loads as it is scrolled, keeps the pictures near the screen only, and is walked through with the arrow keys.
"use strict";

const NEAR_PX = 1200; // the next page is asked for before its place is seen
const KEPT_PX = 3000; // pages beyond are emptied, and filled again before they are seen

const near = new IntersectionObserver((entries) => {
  for (const { isIntersecting, target } of entries) if (isIntersecting) htmx.trigger(target, "near");
}, { rootMargin: `${NEAR_PX}px` });

const kept = new IntersectionObserver((entries) => {
  for (const { isIntersecting, target } of entries) isIntersecting ? fill(target) : empty(target);
}, { rootMargin: `${KEPT_PX}px` });

// A page that is emptied stays as a box of its height, so that nothing on the screen moves. What it holds is asked for again.

function empty(page) {
  if (page.dataset.empty || page.contains(document.activeElement)) return;
  page.style.height = `${page.getBoundingClientRect().height}px`;
  page.dataset.empty = "yes";
  page.replaceChildren();
}

async function fill(page) {
  if (page.dataset.empty !== "yes") return;
  page.dataset.empty = "filling";
  try {
    const url = new URL(page.dataset.page, location.href);
    url.searchParams.set("counts", "false");
    const answer = await fetch(url, { headers: { Accept: "text/html", "HX-Request": "true" } });
    if (!answer.ok) throw new Error(answer.status);
    const found = new DOMParser().parseFromString(await answer.text(), "text/html").querySelector(".page");
    page.replaceChildren(...found.childNodes);
    page.style.height = "";
    delete page.dataset.empty;
  } catch {
    page.dataset.empty = "yes"; // asked for again when it is scrolled to
  }
}

// After the width of the window has changed, boxes have the height that their pictures would take now.
function measure() {
  const sheet = document.querySelector(".page:not([data-empty]) .sheet");
  if (!sheet || !sheet.firstElementChild) return;
  const { gridTemplateColumns, rowGap } = getComputedStyle(sheet);
  const columns = gridTemplateColumns.split(" ").length;
  const row = sheet.firstElementChild.getBoundingClientRect().height + parseFloat(rowGap);
  for (const page of document.querySelectorAll(".page[data-empty]")) {
    page.style.height = `${Math.ceil(page.dataset.count / columns) * row}px`;
  }
}

function watch(root) {
  for (const link of root.querySelectorAll(".more")) near.observe(link);
  for (const page of root.querySelectorAll(".page")) kept.observe(page);
}

document.addEventListener("DOMContentLoaded", () => {
  const filters = document.querySelector(".filters");
  if (filters && matchMedia("(max-width: 800px)").matches) filters.open = false; // pictures first, where both do not fit
  watch(document);
});
document.addEventListener("htmx:afterSettle", () => watch(document));
addEventListener("resize", measure);

// Arrow keys

const STEPS = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: "up", ArrowDown: "down" };

// The tile a row above or below: of those in the first other row, the one that is nearest.
function inNextRow(tiles, at, step) {
  const from = tiles[at].getBoundingClientRect();
  let best = null;
  for (let other = at + step; tiles[other]; other += step) {
    const place = tiles[other].getBoundingClientRect();
    if (Math.abs(place.top - from.top) < 2) continue;
    if (best && Math.abs(place.top - best.top) >= 2) break;
    if (!best || Math.abs(place.left - from.left) < Math.abs(best.left - from.left)) best = { other, top: place.top, left: place.left };
  }
  return best ? best.other : at;
}

document.addEventListener("keydown", (event) => {
  const step = STEPS[event.key];
  const isElsewhere = event.ctrlKey || event.metaKey || event.altKey || event.shiftKey || document.querySelector("dialog[open]");
  if (!step || isElsewhere || event.target.closest("input, textarea, select")) return;
  const tiles = [...document.querySelectorAll(".tile")];
  if (!tiles.length) return;
  event.preventDefault();
  const at = tiles.indexOf(document.activeElement);
  const seen = tiles.findIndex((tile) => tile.getBoundingClientRect().bottom > 0);
  const next = at < 0 ? seen : typeof step === "number" ? at + step : inNextRow(tiles, at, step === "up" ? -1 : 1);
  const target = tiles[Math.min(Math.max(next, 0), tiles.length - 1)];
  target.focus({ preventScroll: true });
  target.scrollIntoView({ block: "nearest" });
});
