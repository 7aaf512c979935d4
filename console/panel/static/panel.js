// What a page gains by a script; all of it works without one.
"use strict";

const each = (selector, act, root = document) => root.querySelectorAll(selector).forEach(act);

// Times: in the viewer's zone; the exact UTC stays as the title.
const zoned = new Intl.DateTimeFormat(undefined, { day: "numeric", month: "short", year: "numeric", hour: "2-digit", minute: "2-digit", second: "2-digit", hour12: false });
function localize(root) {
  each("time[datetime]", (time) => { time.textContent = zoned.format(new Date(time.dateTime)); }, root);
}

// Copying: what stands beside the button.
document.addEventListener("click", async (event) => {
  const button = event.target.closest("[data-copy]");
  if (!button) return;
  const said = button.textContent;
  try {
    await navigator.clipboard.writeText(button.parentElement.querySelector("code, input").textContent);
    button.textContent = "Copied";
  } catch {
    const range = document.createRange();
    range.selectNodeContents(button.parentElement.querySelector("code, input"));
    getSelection().removeAllRanges();
    getSelection().addRange(range);
    button.textContent = "Selected";
  }
  setTimeout(() => { button.textContent = said; }, 1500);
});

// A sheet that asks closes on Escape and on a click elsewhere.
document.addEventListener("keydown", (event) => {
  if (event.key !== "Escape") return;
  each("details.ask[open]", (sheet) => { sheet.open = false; sheet.querySelector("summary").focus(); });
});
document.addEventListener("click", (event) => {
  each("details.ask[open]", (sheet) => { if (!sheet.contains(event.target)) sheet.open = false; });
});

// A form is sent once, however often its button is pressed.
document.addEventListener("submit", (event) => {
  const form = event.target;
  if (form.dataset.sent) { event.preventDefault(); return; }
  if (form.method === "post") form.dataset.sent = "1";
});
addEventListener("pageshow", () => each("form[data-sent]", (form) => delete form.dataset.sent));

// A piece of a page from the server, whose texts are escaped there; null when it cannot be had.
async function piece(address, options = {}) {
  try {
    const answer = await fetch(address, { ...options, headers: { Accept: "text/html", ...options.headers }, credentials: "same-origin" });
    if (!answer.ok || answer.redirected) return null;
    return new DOMParser().parseFromString(await answer.text(), "text/html").body;
  } catch { return null; }
}

// <x data-refresh="address" data-every="ms">: is replaced by the piece until that has no data-refresh any more.
function refresh(element) {
  if (element.dataset.watched) return;
  element.dataset.watched = "1";
  setTimeout(async () => {
    const found = document.hidden ? null : await piece(element.dataset.refresh);
    const next = found && found.firstElementChild;
    if (!next) { delete element.dataset.watched; refresh(element); return; }
    localize(next);
    element.replaceWith(next);
    if (next.dataset.refresh) refresh(next);
  }, Number(element.dataset.every || 1000));
}

// <x data-preview="address" data-into="id" data-of="names">: posts the form's fields while one types, shows the piece that comes back.
function preview(element) {
  const form = element.closest("form");
  const target = document.getElementById(element.dataset.into);
  let timer = 0, latest = 0;
  const ask = async () => {
    const mine = ++latest;
    target.setAttribute("aria-busy", "true");
    const found = await piece(element.dataset.preview, { method: "POST", body: new URLSearchParams(new FormData(form)) });
    if (mine !== latest) return;
    target.removeAttribute("aria-busy");
    if (!found) return;
    localize(found);
    target.replaceChildren(...found.childNodes);
  };
  const soon = () => { clearTimeout(timer); timer = setTimeout(ask, 350); };
  const names = (element.dataset.of || element.name || "").split(" ");
  form.addEventListener("input", (event) => { if (names.includes(event.target.name)) soon(); });
  if (element.dataset.atOnce !== undefined) ask();
}

localize(document);
each("[data-refresh]", refresh);
each("[data-preview]", preview);
