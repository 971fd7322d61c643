// The daemon's page: draws what the events say, asks before it orders. Foreign text only ever becomes text.
"use strict";

const $ = (id) => document.getElementById(id);
const NUMBER = new Intl.NumberFormat("en");
const SHORT = new Intl.NumberFormat("en", { notation: "compact", maximumSignificantDigits: 4 });
const WORDS = {
  starting: "starting", crawling: "crawling", paused: "paused", paused_budget: "out of budget", day_done: "done for today",
  idle: "at rest", waiting: "waiting", purging: "deleting what is due", last_day_over: "last day over", draining: "finishing", stopped: "stopped",
};
const SVG = "http://www.w3.org/2000/svg";
const rates = [];
let token = "";
let last = 0;
let failures = 0;
let waiting = null;

const fragment = new URLSearchParams(location.hash.slice(1)).get("token");
if (fragment) { sessionStorage.setItem("token", fragment); history.replaceState(null, "", location.pathname); }
token = sessionStorage.getItem("token") || "";

const number = (value) => value === null || value === undefined ? "–" : NUMBER.format(value);
const big = (value) => value >= 1e8 ? SHORT.format(value) : number(value);
const two = (value) => String(value).padStart(2, "0");

function clock(at, withDay) {
  if (!at) return "–";
  const date = new Date(at * 1000);
  const time = `${two(date.getHours())}:${two(date.getMinutes())}`;
  return withDay ? `${date.getFullYear()}-${two(date.getMonth() + 1)}-${two(date.getDate())} ${time}` : time;
}

// Signs that steer a terminal or turn the direction of text have no place in a table.
const plain = (text) => text.replace(/[\u0000-\u001f\u007f-\u009f\u200e\u200f\u061c\u202a-\u202e\u2066-\u2069]/g, " ").trim();

function ago(seconds) {
  if (seconds < 90) return `${Math.max(0, Math.round(seconds))} s`;
  if (seconds < 5400) return `${Math.round(seconds / 60)} min`;
  if (seconds < 129600) return `${Math.round(seconds / 3600)} h`;
  return `${Math.round(seconds / 86400)} d`;
}

function element(name, attributes, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes || {})) made.setAttribute(key, value);
  made.append(...children);
  return made;
}

function shape(name, attributes, text) {
  const made = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  if (text !== undefined) made.textContent = text;
  return made;
}

function pairs(id, rows) {
  $(id).replaceChildren(...rows.flatMap(([key, value, kind]) => [
    element("dt", kind ? { class: `dot ${kind}` } : {}, key), element("dd", {}, value),
  ]));
}

function say(id, text) { if ($(id).textContent !== text) $(id).textContent = text; }

// drawing

function size(svg) {
  const box = svg.getBoundingClientRect();
  svg.setAttribute("viewBox", `0 0 ${Math.max(1, box.width)} ${Math.max(1, box.height)}`);
  return [Math.max(1, box.width), Math.max(1, box.height)];
}

function spark(svg, values) {
  const [w, h] = size(svg);
  if (values.length < 2) { svg.replaceChildren(); return; }
  const top = Math.max(...values, 1e-9);
  const points = values.map((value, i) => `${(i / (values.length - 1)) * w},${h - 2 - (value / top) * (h - 4)}`);
  svg.replaceChildren(shape("polygon", { points: `0,${h} ${points.join(" ")} ${w},${h}`, class: "area" }), shape("polyline", { points: points.join(" "), class: "l1" }));
}

function bars(svg, hours, now) {
  const [w, h] = size(svg);
  const first = Math.floor(now / 3600) * 3600 - 71 * 3600;
  const known = new Map(hours.map((row) => [row[0], row]));
  const columns = Array.from({ length: 72 }, (_, i) => known.get(first + i * 3600) || [first + i * 3600, 0, 0, 0, 0]);
  const top = Math.max(1, ...columns.map((row) => row[1] + Math.max(0, row[2])));
  const base = h - 18, step = w / 72;
  const drawn = [shape("line", { x1: 0, x2: w, y1: base, y2: base, class: "axis" }), shape("text", { x: 0, y: 11 }, number(top))];
  columns.forEach((row, i) => {
    const sure = (row[1] / top) * (base - 18), doubt = (Math.max(0, row[2]) / top) * (base - 18);
    if (sure) drawn.push(shape("rect", { x: i * step + 1, width: Math.max(1, step - 2), y: base - sure, height: sure, rx: 1.5, class: "c1" }));
    if (doubt) drawn.push(shape("rect", { x: i * step + 1, width: Math.max(1, step - 2), y: base - sure - doubt, height: doubt, class: "c2" }));
    const date = new Date(row[0] * 1000);
    if (date.getHours() === 0) drawn.push(shape("text", { x: Math.min(i * step, w - 36), y: h - 4 }, `${date.getDate()}.${date.getMonth() + 1}.`));
  });
  svg.replaceChildren(...drawn);
  const sum = (rows) => rows.reduce((all, row) => all + row[1] + row[2], 0);
  say("hours-text", `${number(sum(columns.slice(-24)))} in the last 24 hours, ${number(sum(columns))} in three days, at most ${number(top)} in an hour; uncertain ones on top`);
}

function growth(svg, days) {
  const [w, h] = size(svg);
  let accounts = 0, edges = 0;
  const rows = days.map(([day, , a, e]) => [day, (accounts += a), (edges += e)]);
  if (rows.length === 1) rows.unshift([rows[0][0] - 86400, 0, 0]);
  if (!rows.length) { svg.replaceChildren(); return; }
  const base = h - 18, from = rows[0][0], span = Math.max(1, rows[rows.length - 1][0] - from);
  const path = (index) => rows.map((row) => `${((row[0] - from) / span) * w},${base - (row[index] / Math.max(1, rows[rows.length - 1][index])) * (base - 8)}`).join(" ");
  svg.replaceChildren(
    shape("polygon", { points: `0,${base} ${path(2)} ${w},${base}`, class: "area" }), shape("line", { x1: 0, x2: w, y1: base, y2: base, class: "axis" }),
    shape("polyline", { points: path(2), class: "l1" }), shape("polyline", { points: path(1), class: "l2", "stroke-dasharray": "5 4" }),
    shape("text", { x: 0, y: h - 4 }, new Date(from * 1000).toISOString().slice(0, 10)),
    shape("text", { x: w, y: h - 4, "text-anchor": "end" }, new Date((from + span) * 1000).toISOString().slice(0, 10)),
  );
  say("growth-text", `Follows (line) to ${number(edges)}, accounts (dashed) to ${number(accounts)}, each on its own scale`);
}

// what an event says

function show(found) {
  const live = found.live;
  const paused = live.state === "paused" || (found.orders || []).some((o) => o.act === "pause" && !o.done_at);
  $("state").dataset.state = live.state;
  say("state", WORDS[live.state] || live.state);
  say("detail", live.detail + (live.until_at ? ` · until ${clock(live.until_at, true)}` : ""));
  say("facts", `up ${ago(live.at - live.started_at)} · the API answered ${live.answered_at ? `${ago(live.at - live.answered_at)} ago` : "not yet"}${live.at - found.read_at > 90 ? ` · counted ${ago(live.at - found.read_at)} ago` : ""}`);
  $("pause").disabled = paused; $("resume").disabled = !paused && live.state !== "waiting" && live.state !== "idle";
  document.title = `${WORDS[live.state] || live.state} · followgraph`;

  rates.push(live.pages_per_second); if (rates.length > 150) rates.shift();
  say("rate", live.pages_per_second.toFixed(1)); spark($("rate-line"), rates);
  const booked = found.by_day[found.today] || 0;
  const today = Math.max(booked, live.per_day !== null && live.left !== null && live.left <= live.per_day ? live.spent_today : 0);
  const counted = today + found.elsewhere;  // a day's cap is over all runs
  say("today-left", live.per_day === null ? "no limit" : big(live.left === null ? Math.max(0, live.per_day - counted) : live.left));
  const used = found.used - booked + today;
  say("today-text", live.per_day === null ? `${number(today)} spent` : `${number(counted)} of ${number(live.per_day)} spent`);
  say("total-left", found.total === null ? "no limit" : big(Math.max(0, found.total - used)));
  const f = found.forecast;
  say("total-text", f ? `lasts ${f.days} days (${f.low} to ${f.high}) at ${number(f.per_day)} a day` : found.total === null ? `${number(used)} spent` : "too early to say how long it lasts");
  say("yield", live.new_per_credit === null ? "–" : live.new_per_credit.toFixed(1));
  say("known", big(found.accounts.known)); say("known-text", `${number(found.accounts.visited)} read · ${number(found.accounts.boundary)} not yet`);
  say("edges", big(found.edges)); say("edges-text", `${number(found.pages)} pages bought in all`);

  bars($("hours"), found.hours, live.at); growth($("growth"), found.days);
  pairs("budget", [["spent by the daemon", number(used)], ["total", found.total === null ? "no limit" : number(found.total)], ...Object.entries(found.expiring).map(([day, left]) => [`of it until ${day}`, number(left)]), ["uncertain in all", number(found.uncertain)], ["today", number(today)]]);
  pairs("by-day", Object.entries({ ...found.by_day, [found.today]: today }).sort().reverse().slice(0, 7).map(([day, credits]) => [day, number(credits)]));
  $("total-meter").hidden = found.total === null;
  if (found.total) $("total-meter").firstElementChild.style.width = `${Math.min(100, (100 * used) / found.total)}%`;

  const states = ["done", "queued", "leased", "failed", "skipped"], names = { done: "done", queued: "waiting", leased: "in flight", failed: "given up", skipped: "never bought" };
  const all = states.reduce((sum, state) => sum + found.frontier[state], 0) || 1;
  $("frontier-bar").replaceChildren(...states.filter((state) => found.frontier[state]).map((state) => { const part = element("span", { class: state }); part.style.width = `${(100 * found.frontier[state]) / all}%`; return part; }));
  pairs("frontier", [...states.map((state) => [names[state], number(found.frontier[state]), state]), [`waiting, ranked by ${live.strategy}`, number(found.queues.strategy)], ["waiting, to be read again first", number(found.queues.ahead)], ["oldest waits for", found.oldest_waiting_at ? ago(live.at - found.oldest_waiting_at) : "–"]]);
  pairs("api", [["half answer within", live.latency_median_s === null ? "–" : `${live.latency_median_s.toFixed(2)} s`], ["19 of 20 within", live.latency_slow_s === null ? "–" : `${live.latency_slow_s.toFixed(2)} s`], ["in flight", `${live.in_flight} of ${live.limit}`], ["pages that said hidden", number(live.statuses.hidden || 0)], ["pages that were empty", number(live.statuses.empty || 0)], ["held back for", live.blocked_s ? `${live.blocked_s} s (${live.waiting || "asked"})` : "nothing"]]);
  pairs("errors", Object.entries(live.errors).sort((a, b) => b[1] - a[1]).map(([cause, count]) => [cause.replaceAll("_", " "), number(count)]));
  if (!$("strategies").childElementCount) $("strategies").replaceChildren(...live.strategies.map((name) => element("option", { value: name })));
  for (const key of ["strategy", "concurrency", "rate", "per_day"]) { const field = $(`s-${key}`); if (document.activeElement !== field && !field.dataset.edited) field.value = live[key] ?? ""; }

  const crew = found.crawlers, silent = crew.filter((each) => each.is_silent).length;
  $("crew").hidden = crew.length < 2;
  say("rate-label", crew.length < 2 ? "Pages a second" : "Pages a second, here");
  say("crew-text", `${number(crew.length - silent)} at work on one frontier, one budget and one rate${silent ? `, ${number(silent)} silent: killed, or cut off` : ""}`);
  $("crawlers").replaceChildren(...crew.map((each) => element("tr", {}, element("td", {}, element("bdi", {}, `${each.host} ${each.pid}`)),
    element("td", {}, each.is_silent ? element("span", { class: "tag failed" }, `not for ${ago(found.read_at - each.heartbeat_at)}`) : `${ago(found.read_at - each.heartbeat_at)} ago`),
    element("td", { class: "n" }, number(each.pages)), element("td", { class: "n" }, number(each.in_flight)), element("td", { class: "n" }, `${Math.round(100 * each.share)} %`))));

  $("visits").replaceChildren(...found.visits.map((visit) => {
    const who = element("td", {}, element("bdi", {}, visit.handle ? `@${visit.handle}` : "(no handle)"));
    const words = [visit.name, visit.bio].filter(Boolean).map(plain).join(" · ");
    if (words) who.append(element("span", { class: "sub" }, element("bdi", {}, words)));
    const kind = visit.completeness === "hidden" ? "hidden-list" : visit.completeness;
    return element("tr", {}, element("td", {}, clock(visit.ended_at, true)), who,
      element("td", {}, element("span", { class: `tag ${kind}` }, visit.completeness.replaceAll("_", " ")), visit.reason ? ` ${visit.reason.replaceAll("_", " ")}` : ""),
      element("td", { class: "n" }, number(visit.pages)), element("td", { class: "n" }, number(visit.edges)), element("td", { class: "n" }, number(visit.new_edges)));
  }));
  const reasons = Object.entries(found.failed_by_reason);
  say("failed-text", reasons.length ? reasons.map(([reason, count]) => `${number(count)} ${reason.replaceAll("_", " ")}`).join(" · ") : "Nothing was given up.");
  if (!$("failed").contains(document.activeElement)) $("failed").replaceChildren(...found.failed.map((entry) => {
    const again = element("button", { type: "button", "aria-label": `Queue ${entry.handle} again` }, "Queue again");
    again.addEventListener("click", () => order(`Queue @${entry.handle} again, before all others?`, { act: "requeue", handle: entry.handle }));
    return element("tr", {}, element("td", {}, element("bdi", {}, `@${entry.handle}`)), element("td", {}, (entry.reason || "").replaceAll("_", " ")), element("td", {}, again));
  }));
  const acts = [...found.orders.map((o) => [o.at, `${o.act}${o.details.key ? ` ${o.details.key} = ${o.details.value ?? "no limit"}` : ""} (${o.origin}): ${o.answer || "waits"}${o.details.why ? `, ${o.details.why}` : ""}`]), ...found.changes.map((c) => [c.at, `budget ${c.credits > 0 ? "+" : ""}${number(c.credits)}${c.until ? ` until ${c.until}` : ""} (${c.origin})${c.note ? `: ${c.note}` : ""}`])];
  acts.sort((a, b) => b[0] - a[0]);
  $("orders").replaceChildren(...(acts.length ? [] : [element("li", { class: "sub" }, "Nothing was asked yet.")]), ...acts.slice(0, 12).map(([at, text]) => element("li", {}, element("time", { datetime: new Date(at * 1000).toISOString() }, clock(at, true)), text)));
}

// talking to the daemon

const headers = () => (token ? { Authorization: `Bearer ${token}` } : {});

function connection(state, words) { $("connection").dataset.is = state; say("connection", words); }

function door(words) { $("door").hidden = false; $("board").hidden = true; say("door-answer", words); $("token").focus(); }

async function listen() {
  for (;;) {
    try {
      const answer = await fetch("api/events", { headers: headers(), cache: "no-store" });
      if (answer.status === 401) { connection("waiting", "locked"); door(token ? "The token is wrong." : ""); return; }
      if (!answer.ok) throw new Error(String(answer.status));
      $("door").hidden = true; $("board").hidden = false;
      failures = 0;
      const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
      let text = "";
      for (;;) {
        const { value, done } = await reader.read();
        if (done) break;
        last = Date.now();
        text += value;
        for (let end = text.indexOf("\n\n"); end >= 0; end = text.indexOf("\n\n")) {
          const line = text.slice(0, end).split("\n").find((each) => each.startsWith("data: "));
          text = text.slice(end + 2);
          if (line) { waiting = JSON.parse(line.slice(6)); if (!document.hidden) draw(); }
        }
        connection("live", "live");
      }
    } catch { /* told below */ }
    failures += 1;
    connection("stale", "no connection to the daemon");
    await new Promise((resolve) => setTimeout(resolve, Math.min(15000, 500 * 2 ** failures)));
  }
}

function draw() { if (waiting) { show(waiting); waiting = null; } }
document.addEventListener("visibilitychange", draw);
setInterval(() => { if (last && Date.now() - last > 45000) connection("stale", `these figures are ${ago((Date.now() - last) / 1000)} old`); }, 5000);

async function order(question, what) {
  say("ask-text", question);
  $("ask").returnValue = "no";
  $("ask").showModal();
  await new Promise((resolve) => $("ask").addEventListener("close", resolve, { once: true }));
  if ($("ask").returnValue !== "yes") return false;
  let words;
  let isDone = false;
  try {
    const answer = await fetch("api/orders", { method: "POST", headers: { "Content-Type": "application/json", "X-Followgraph": "1", ...headers() }, body: JSON.stringify(what) });
    const found = await answer.json();
    isDone = answer.ok;
    words = found.answer || found.error;
  } catch { words = "the daemon cannot be reached"; }
  say("answer", words); $("answer").hidden = false;
  setTimeout(() => { $("answer").hidden = true; }, 5000);
  return isDone;
}

$("pause").addEventListener("click", () => order("Pause? What is in flight is stored, nothing new is bought until you resume.", { act: "pause" }));
$("resume").addEventListener("click", () => order("Go on?", { act: "resume" }));
$("drain").addEventListener("click", () => order("Drain? The daemon stores what is in flight and ends. It does not come back by itself.", { act: "drain" }));
$("add").addEventListener("submit", async (event) => {
  event.preventDefault();
  const credits = Number($("credits").value);
  if (await order(`Raise the budget by ${number(credits)} credits?`, { act: "budget", credits, note: $("note").value || null })) event.target.reset();
});
for (const form of document.querySelectorAll("form.setting")) {
  const field = form.querySelector("input");
  field.addEventListener("input", () => { field.dataset.edited = "1"; });
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const key = form.dataset.key;
    const value = key === "crawl.strategy" ? field.value : field.value === "" ? null : Number(field.value);
    await order(`Change ${form.querySelector("label").textContent.toLowerCase()} to ${value ?? "no limit"}? It holds until the daemon ends.`, { act: "set", key, value });
    delete field.dataset.edited;
  });
}
$("door").addEventListener("submit", (event) => { event.preventDefault(); token = $("token").value; sessionStorage.setItem("token", token); $("token").value = ""; listen(); });
listen();
