"use strict";

const at = (id) => document.getElementById(id);
const amount = (minor, currency) => (minor / 100).toLocaleString("en", { minimumFractionDigits: 2 }) + " " + currency;
const made = (name, text) => Object.assign(document.createElement(name), { textContent: text });

function show(state) {
  at("orders").textContent = state.orders;
  at("paid").textContent = state.paid;
  at("revenue").textContent = Object.entries(state.revenue).map(([currency, minor]) => amount(minor, currency)).join(" + ") || "0.00";
  const most = Math.max(1, ...Object.values(state.funnel));
  at("funnel").replaceChildren(...Object.entries(state.funnel).flatMap(([step, count]) => {
    const bar = Object.assign(document.createElement("progress"), { max: most, value: count, ariaLabel: step });
    const cell = document.createElement("dd");
    cell.append(bar);
    return [made("dt", step), cell, made("dd", count)];
  }));
  at("recent").replaceChildren(...state.recent.map((order) => {
    const row = document.createElement("tr");
    const cells = [new Date(order.at).toLocaleTimeString("en-GB"), order.number, order.city, amount(order.amount_minor, order.currency)];
    row.append(...cells.map((text) => made("td", text)));
    return row;
  }));
}

const stream = new EventSource("/stream");
stream.onopen = () => { at("link").textContent = "live"; };
stream.onerror = () => { at("link").textContent = "reconnecting …"; };
stream.onmessage = (message) => show(JSON.parse(message.data));
