"use strict";
// Fetches the page again and swaps only the parts that changed, so scroll, forms and opened logs stay as they are.
const PERIOD_MS = 5000; // a campaign changes every few seconds at most

const note = document.getElementById("freshness");

function selecting() {
  const chosen = document.getSelection();
  return chosen !== null && !chosen.isCollapsed;
}

function carryOver(from, to) {
  for (const one of from.querySelectorAll("details[id]")) {
    const same = to.querySelector("#" + CSS.escape(one.id));
    if (same) same.open = one.open;
  }
}

function swap(old, fresh) {
  const link = old.contains(document.activeElement) ? document.activeElement.getAttribute("href") : null;
  old.replaceChildren(...document.adoptNode(fresh).childNodes);
  if (link !== null) old.querySelector('a[href="' + CSS.escape(link) + '"]')?.focus({ preventScroll: true });
}

async function refresh() {
  if (document.hidden || selecting() || document.querySelector("[data-live]") === null) return;
  let answer, text;
  try {
    answer = await fetch(location.href, { cache: "no-store" });
    text = await answer.text();
  } catch {
    note.textContent = "The hub does not answer: this is what it said last.";
    return;
  }
  if (answer.status !== Number(document.body.dataset.status)) {
    // After a form with a mistake the address is right and the form must stay; everything else is shown anew.
    if (document.body.dataset.status !== "422") location.reload();
    return;
  }
  const fresh = new DOMParser().parseFromString(text, "text/html");
  for (const old of document.querySelectorAll("[data-live]")) {
    const next = fresh.getElementById(old.id);
    if (next === null) continue;
    carryOver(old, next);
    if (next.innerHTML !== old.innerHTML) swap(old, next);
  }
  note.textContent = "";
}

// The next round waits for this one: a slow hub isn't asked twice at once.
async function renew() {
  await refresh();
  setTimeout(renew, PERIOD_MS);
}

setTimeout(renew, PERIOD_MS);
