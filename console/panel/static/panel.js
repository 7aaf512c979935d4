// What a page gains by a script; all of it works without one.
"use strict";

const each = (selector, act, root = document) => root.querySelectorAll(selector).forEach(act);

// Times: in the viewer's zone; the exact UTC stays as the title.
const zoned = new Intl.DateTimeFormat(undefined, { day: "numeric", month: "short", year: "numeric", hour: "2-digit", minute: "2-digit", second: "2-digit", hour12: false });
const weekday = new Intl.DateTimeFormat(undefined, { weekday: "long", hour: "2-digit", minute: "2-digit", hour12: false });
const date = new Intl.DateTimeFormat(undefined, { day: "numeric", month: "short", year: "numeric" });
const clock = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", hour12: false });
const brief = new Intl.DateTimeFormat(undefined, { day: "numeric", month: "short", hour: "2-digit", minute: "2-digit", second: "2-digit", hour12: false });
const says = { weekday, date, clock, brief };
function localize(root) {
  each("time[datetime]", (time) => { time.textContent = (says[time.dataset.say] || zoned).format(new Date(time.dateTime)); }, root);
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

// What a sheet asks is in sight, also where it opens below the window's edge. (toggle does not bubble.)
document.addEventListener("toggle", (event) => {
  if (event.target.matches("details.ask[open]")) event.target.querySelector(".sheet").scrollIntoView({ block: "nearest" });
}, true);

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
    if (next.dataset.over !== undefined) each("[data-until-over]", (over) => over.remove());
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

// Time fields: shown in the viewer's zone, in UTC in the address; and an address has no empty fields.
const zone = new Intl.DateTimeFormat(undefined, { timeZoneName: "short" }).formatToParts().find((part) => part.type === "timeZoneName").value;
function zonedField(input) {
  if (input.value) {
    const at = new Date(`${input.value}Z`);
    input.value = new Date(at - at.getTimezoneOffset() * 60000).toISOString().slice(0, 19);
  }
  each("[data-zone]", (label) => { label.textContent = zone; }, input.parentElement);
}
document.addEventListener("formdata", ({ target, formData }) => {
  each("input[data-utc]", (input) => { if (input.value) formData.set(input.name, `${new Date(input.value).toISOString().slice(0, 19)}Z`); }, target);
  if (target.dataset.tidy === undefined) return;
  for (const [name, value] of [...formData.entries()]) if (!value) formData.delete(name);
});

// A row of the log opens its attempts below itself.
document.addEventListener("click", async (event) => {
  const button = event.target.closest("[data-unfold]");
  if (!button || button.dataset.busy) return;
  const row = button.closest("tr"), below = row.nextElementSibling;
  const open = button.getAttribute("aria-expanded") === "true";
  if (open) below.remove();
  else {
    button.dataset.busy = "1";
    const found = await piece(button.dataset.unfold);
    delete button.dataset.busy;
    const line = document.createElement("tr"), cell = line.insertCell();
    line.className = "unfolded";
    cell.colSpan = row.cells.length;
    if (found) { localize(found); cell.append(...found.childNodes); } else cell.textContent = "It cannot be had now. Open the delivery itself.";
    row.after(line);
  }
  button.setAttribute("aria-expanded", String(!open));
  button.firstElementChild.textContent = open ? "▸" : "▾";
});

// A box that ticks all of its table's.
function tickAll(box) {
  const others = box.closest("table").querySelectorAll(`tbody input[name="${box.dataset.tickAll}"]`);
  box.hidden = false;
  box.addEventListener("change", () => others.forEach((other) => { other.checked = box.checked; }));
}

// The live tail: rows that came since go on top, those beyond the page go away; opened ones and those with the focus stay.
const unhide = (root) => each("[data-unfold]", (button) => { button.hidden = false; }, root);
function merge(body, rows) {
  const known = new Map([...body.querySelectorAll("tr[data-key]")].map((row) => [row.dataset.key, row]));
  let place = body.firstElementChild, count = 0;
  for (const row of rows) {
    const old = known.get(row.dataset.key);
    if (old) {
      known.delete(row.dataset.key);
      place = old.nextElementSibling;
      if (place && place.className === "unfolded") place = place.nextElementSibling;
    } else {
      row.classList.add("fresh");
      body.insertBefore(row, place);
      count += 1;
    }
  }
  known.forEach((row) => {
    const opened = row.nextElementSibling && row.nextElementSibling.className === "unfolded";
    if (!opened && !row.contains(document.activeElement)) row.remove();
  });
  return count;
}
function tail(button) {
  const body = document.getElementById(button.dataset.into), said = document.getElementById(button.dataset.said);
  const words = button.textContent;
  let timer = 0;
  const look = async () => {
    if (!document.hidden) {
      const found = await piece(button.dataset.tail);
      if (!timer) return;
      if (found) {
        localize(found);
        unhide(found);
        const count = merge(body, found.querySelectorAll("tr[data-key]"));
        body.closest("table").classList.toggle("calm", !body.querySelector(".error:not(:empty)"));
        if (body.rows.length) { body.closest(".scroll").hidden = false; each(".empty", (empty) => empty.remove()); }
        said.textContent = count ? `${count} new` : "Live: new deliveries show by themselves.";
      } else said.textContent = "The log does not answer; trying again.";
    }
    timer = setTimeout(look, 2000);
  };
  button.hidden = false;
  button.addEventListener("click", () => {
    const on = !timer;
    clearTimeout(timer);
    timer = on ? setTimeout(look, 0) : 0;
    button.setAttribute("aria-pressed", String(on));
    button.textContent = on ? "Stop the tail" : words;
    said.textContent = on ? "Live: new deliveries show by themselves." : "";
  });
}

// <x data-address="path">: this page came of a form; to load it again goes there, and does not send the form again.
each("[data-address]", (element) => history.replaceState(null, "", element.dataset.address));

// On a phone the menu is one line that scrolls: it begins where one is.
each(".side nav a[aria-current]", (tab) => {
  const line = tab.closest("nav");
  line.scrollLeft += tab.getBoundingClientRect().left - line.getBoundingClientRect().left - (line.clientWidth - tab.offsetWidth) / 2;
});

localize(document);
unhide(document);
each("input[data-utc]", zonedField);
each("[data-tail]", tail);
each("[data-tick-all]", tickAll);
each("[data-refresh]", refresh);
each("[data-preview]", preview);
