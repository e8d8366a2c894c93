// What every page shares: the token against forged requests, problems shown in words, live pages over one stream, and keys.
"use strict";

const notice = () => document.getElementById("notice");

// Problems

function showProblem(text, { calm = false } = {}) {
  const box = notice();
  box.textContent = text;
  box.classList.toggle("calm", calm);
  box.hidden = !text;
}

function problemOf(request) {
  try {
    return JSON.parse(request.responseText).detail;
  } catch {
    return request.status ? `The server answered ${request.status}.` : "The server cannot be reached.";
  }
}

// After a session ran out, signing in on another tab makes a new cookie: its token is asked for once, so that this page goes on as it is.
async function renewToken() {
  const answer = await fetch("/session", { headers: { Accept: "application/json" } });
  if (!answer.ok) return false;
  document.querySelector('meta[name="csrf-token"]').content = (await answer.json()).csrf_token;
  for (const field of document.querySelectorAll('input[name="csrf_token"]')) field.value = csrfToken();
  return true;
}

const csrfToken = () => document.querySelector('meta[name="csrf-token"]').content;

document.addEventListener("htmx:configRequest", (event) => {
  event.detail.headers["X-CSRF-Token"] = csrfToken();
});

document.addEventListener("htmx:responseError", async (event) => {
  const request = event.detail.xhr;
  if (request.status === 401 || request.status === 403) {
    if (await renewToken()) {
      showProblem("Signed in again: please repeat what you did last.", { calm: true });
    } else {
      showProblem("Your session has ended. ");
      const link = document.createElement("a");
      link.href = "/signin";
      link.target = "_blank";
      link.textContent = "Sign in on another tab, then go on here.";
      notice().append(link);
    }
    return;
  }
  showProblem(problemOf(request));
});

document.addEventListener("htmx:sendError", () => showProblem("The server cannot be reached. The page goes on once it answers."));
document.addEventListener("htmx:afterOnLoad", (event) => {
  if (event.detail.xhr.status < 400 && !notice().dataset.kept) showProblem("");
});

// Live pages: <main data-stream="/v1/jobs/…/events"> opens one stream; parts with hx-trigger="progress from:body" load themselves again.

const REFRESH_MS = 1000;

const RECONNECT_MS = 3000;

// The same stream from behind the last line that came, as the browser asks for it itself where a connection only broke.
function behind(url, last) {
  const whole = new URL(url, location);
  if (last) whole.searchParams.set("after", last);
  return whole.href;
}

function follow(url) {
  let timer = null;
  const refresh = () => {
    timer ??= setTimeout(() => {
      timer = null;
      htmx.trigger(document.body, "progress");
    }, REFRESH_MS);
  };
  let last = null;
  const source = new EventSource(url);
  source.addEventListener("open", () => {
    delete notice().dataset.kept;
    showProblem("");
    refresh();
  });
  source.addEventListener("error", () => {
    notice().dataset.kept = "stream";
    showProblem("The connection to the server is lost. The page connects again by itself; the job goes on without it.");
    if (source.readyState === EventSource.CLOSED) setTimeout(() => follow(behind(url, last)), RECONNECT_MS); // refused, not only broken
  });
  for (const name of ["snapshot", "progress", "event"]) source.addEventListener(name, refresh);
  source.addEventListener("event", (event) => (last = event.lastEventId));
  source.addEventListener("bye", () => {
    source.close();
    refresh();
    setTimeout(() => htmx.trigger(document.body, "ended"), REFRESH_MS);
  });
}

// Parts with hx-trigger="tick from:body" load themselves again while the page is seen. What did not change is not swapped, so that the
// focus and a selection stay; elements that can have the focus in such parts have an id, by which htmx gives it back.

const TICK_MS = 2000;

setInterval(() => {
  if (document.visibilityState === "visible") htmx.trigger(document.body, "tick");
}, TICK_MS);

const shown = new WeakMap();

document.addEventListener("htmx:beforeSwap", (event) => {
  const { target, xhr } = event.detail;
  if (xhr.status >= 400 || !target.hasAttribute("data-live")) return;
  if (shown.get(target) === xhr.responseText) event.detail.shouldSwap = false;
  shown.set(target, xhr.responseText);
});

// Parts that come beside others (hx-swap-oob) are swapped only where they changed. A part with data-says tells screen readers its first line.
document.addEventListener("htmx:oobBeforeSwap", (event) => {
  const { target, fragment } = event.detail;
  if ((shown.get(target) ?? target.innerHTML) === fragment.innerHTML) event.detail.shouldSwap = false;
  shown.set(target, fragment.innerHTML);
});

document.addEventListener("htmx:oobAfterSwap", (event) => {
  const { target } = event.detail;
  if (!target.hasAttribute("data-says")) return;
  const words = target.querySelector(".state").textContent;
  const said = document.getElementById("said");
  if (said.textContent !== words) said.textContent = words;
});

document.addEventListener("DOMContentLoaded", () => {
  const stream = document.querySelector("[data-stream]");
  if (stream) follow(stream.dataset.stream);
});

// Pictures that cannot be shown say so, instead of the browser's broken picture.
document.addEventListener(
  "error",
  (event) => {
    if (event.target instanceof HTMLImageElement) event.target.classList.add("broken");
  },
  true,
);

// Keys: elements name theirs in data-key. None is taken while something is typed.

function isTyping(target) {
  return target instanceof HTMLElement && (target.isContentEditable || /^(INPUT|TEXTAREA|SELECT)$/.test(target.tagName));
}

document.addEventListener("keydown", (event) => {
  if (event.repeat || event.ctrlKey || event.metaKey || event.altKey || isTyping(event.target) || document.querySelector("dialog[open]")) return;
  const wanted = document.querySelector(`[data-key="${CSS.escape(event.key)}"]`);
  if (!wanted) return;
  event.preventDefault();
  if (wanted instanceof HTMLDialogElement) wanted.showModal();
  else if (/^(INPUT|TEXTAREA|SELECT)$/.test(wanted.tagName)) wanted.focus();
  else wanted.click();
});

document.addEventListener("click", (event) => {
  const opener = event.target.closest("[data-opens]");
  if (opener) document.getElementById(opener.dataset.opens).showModal();
  if (event.target.closest("[data-closes]")) event.target.closest("dialog").close();
});
