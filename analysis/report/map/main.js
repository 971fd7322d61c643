// The interactive map of a report. Nothing is loaded, computed or laid out here: the page holds positions and follows.
// Every name is foreign text and is only ever set as text.
import Graph from "graphology";
import Sigma from "sigma";
import { NodeCircleProgram } from "sigma/rendering";

const data = JSON.parse(document.getElementById("map-data").textContent);
const app = document.getElementById("map-app");
const part = (name) => app.querySelector(`[data-part="${name}"]`);
const stage = part("stage");
const said = part("said");
const chosen = part("chosen");
const still = matchMedia("(prefers-reduced-motion: reduce)").matches;
const RESULTS = 20;
const NEIGHBOURS = 200;
const SMALL = 10; // px
const { communities, accounts } = data;
const BOX = { communities: box(communities), accounts: box(communities, accounts) };

// What is around all that is drawn, whole circles included; `half` is half of its longer side.
function box(...groups) {
  const [x, y] = ["x", "y"].map((side) => {
    let [low, high] = [-1, 1];
    for (const group of groups)
      group[side].forEach((middle, at) => {
        const radius = group.radius ? group.radius[at] : 0;
        [low, high] = [Math.min(low, middle - radius), Math.max(high, middle + radius)];
      });
    return [low, high];
  });
  return { x, y, half: Math.max(x[1] - x[0], y[1] - y[0]) / 2 };
}

const style = (name) => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();

// Colours differ by day and by night, so that each stands out from the stage; they are those of the legend.
const COLOURED = 8;
const colour = (community) =>
  community < 0 || communities.trust[community] === "unstable"
    ? { type: "ring", color: style("muted") }
    : { type: "circle", color: style(community < COLOURED ? `community-${community + 1}` : "known") };

// An unstable community is a ring, not a disc: seen without colours too.
class Ring extends NodeCircleProgram {
  getDefinition() {
    return {
      ...super.getDefinition(),
      FRAGMENT_SHADER_SOURCE: `
precision highp float;
varying vec4 v_color;
varying vec2 v_diffVector;
varying float v_radius;
uniform float u_correctionRatio;
void main(void) {
  float soft = u_correctionRatio * 2.0;
  float far = length(v_diffVector);
  #ifdef PICKING_MODE
  gl_FragColor = far > v_radius ? vec4(0.0) : v_color;
  #else
  float outside = smoothstep(v_radius - soft, v_radius, far);
  float hole = v_radius - max(2.0 * soft, min(0.15 * v_radius, 4.0 * soft));
  float inside = 1.0 - smoothstep(hole - soft, hole, far);
  gl_FragColor = mix(v_color, vec4(0.0), max(outside, inside));
  #endif
}`,
    };
  }
}

function element(tag, text, attributes = {}) {
  const made = document.createElement(tag);
  if (text !== undefined) made.textContent = text;
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  return made;
}

// A name from right to left turns nothing around it.
const isolated = (name) => `\u2068${name}\u2069`;

const followed = accounts.x.map(() => []);
const following = accounts.x.map(() => []);
for (let at = 0; at < accounts.edges.length; at += 2) {
  following[accounts.edges[at]].push(accounts.edges[at + 1]);
  followed[accounts.edges[at + 1]].push(accounts.edges[at]);
}
const words = accounts.label.map((label) => label.toLowerCase());
// The page does not hold these accounts' names: seeded runs disagree on whom an unstable community holds.
const nameless = accounts.community.filter((community) => community < 0).length;
const withoutNames =
  `${nameless.toLocaleString("en")} ${nameless === 1 ? "dot has" : "dots have"} none, in communities that are unstable: ` +
  "other runs put their accounts elsewhere, so whose they are is not told.";

function graphOfCommunities() {
  const graph = new Graph({ type: "undirected" });
  const most = Math.max(1, ...communities.edges.map((edge) => edge[2]));
  communities.x.forEach((x, at) =>
    graph.addNode(at, {
      x,
      y: communities.y[at],
      size: communities.radius[at],
      ...colour(at),
      number: `${at + 1}`,
      label: `${at + 1} · ${communities.accounts[at].toLocaleString("en")}`,
      forceLabel: at < COLOURED,
    }),
  );
  for (const [one, other, follows] of communities.edges)
    graph.addEdge(one, other, { size: BOX.communities.half * (0.002 + 0.02 * Math.sqrt(follows / most)), color: style("known") });
  return graph;
}

function graphOfAccounts() {
  const graph = new Graph({ type: "directed" });
  const most = accounts.followers.reduce((one, other) => Math.max(one, other), 1);
  // Dots grow as far as their room allows; where there is next to none the map is a core to zoom into.
  const room = communities.radius[0] / Math.sqrt(communities.accounts[0]);
  const largest = Math.max(3, Math.min(10, (0.5 * room * Math.min(stage.clientWidth, stage.clientHeight)) / BOX.accounts.half));
  accounts.x.forEach((x, at) =>
    graph.addNode(at, {
      x,
      y: accounts.y[at],
      size: 1.5 + (largest - 1.5) * Math.sqrt(accounts.followers[at] / most),
      ...colour(accounts.community[at]),
      label: accounts.label[at],
    }),
  );
  for (let at = 0; at < accounts.edges.length; at += 2)
    graph.addEdge(accounts.edges[at], accounts.edges[at + 1], { size: 0.4, color: style("line") });
  return graph;
}

let view = "communities";
let drawing = null;
let selected = null;
let hub = null;

const widthOf = (context, text) => context.measureText(text).width + 8;

function plate(context, text, left, y, { labelSize, labelFont }) {
  context.font = `${labelSize}px ${labelFont}`;
  context.fillStyle = style("raised");
  context.fillRect(left, y - 0.7 * labelSize, widthOf(context, text), 1.4 * labelSize);
  context.fillStyle = style("ink");
  context.fillText(text, left + 4, y + labelSize / 3);
}

const beside = (context, node, settings) => node.label && plate(context, node.label, node.x + node.size + 2, node.y, settings);

function across(context, node, settings, text = node.label) {
  context.font = `${settings.labelSize}px ${settings.labelFont}`;
  plate(context, text, node.x - widthOf(context, text) / 2, node.y, settings);
}

// A community's label stands in its circle, or it would lie on its neighbours'. Where it has no room its number is small
// and has no plate, which would hide the circle. No colour but grey goes without a number, even where it leaves its circle.
function within(context, node, settings) {
  context.font = `${settings.labelSize}px ${settings.labelFont}`;
  const text = [node.label, node.number].find((each) => Math.hypot(widthOf(context, each), 1.4 * settings.labelSize) <= 2 * node.size);
  if (text) return across(context, node, settings, text);
  context.font = `${SMALL}px ${settings.labelFont}`;
  const { width } = context.measureText(node.number);
  if (!node.forceLabel && Math.hypot(width, 0.7 * SMALL) > 2 * node.size) return; // no digit is higher
  const left = node.x - width / 2;
  context.lineJoin = "round";
  context.lineWidth = 3;
  context.strokeStyle = style("raised");
  context.strokeText(node.number, left, node.y + SMALL / 3);
  context.fillStyle = style("ink");
  context.fillText(node.number, left, node.y + SMALL / 3);
}

function draw() {
  if (drawing) drawing.kill();
  stage.replaceChildren();
  const isCommunities = view === "communities";
  const graph = isCommunities ? graphOfCommunities() : graphOfAccounts();
  drawing = new Sigma(graph, stage, {
    allowInvalidContainer: true,
    nodeProgramClasses: { ring: Ring },
    defaultDrawNodeHover: isCommunities ? across : beside,
    ...(isCommunities ? { defaultDrawNodeLabel: within } : {}),
    hideEdgesOnMove: graph.size > 20000,
    itemSizesReference: isCommunities ? "positions" : "screen",
    zoomToSizeRatioFunction: isCommunities ? (ratio) => ratio : Math.sqrt,
    labelColor: { color: style("ink") },
    labelGridCellSize: isCommunities ? 24 : 100,
    labelFont: "sans-serif",
    labelRenderedSizeThreshold: isCommunities ? 0 : 6,
    stagePadding: 8,
    nodeReducer: (node, facts) => (node === String(selected) ? { ...facts, highlighted: true, zIndex: 1 } : facts),
    edgeReducer: (edge, facts) => {
      if (selected === null) return facts;
      return graph.extremities(edge).includes(String(selected))
        ? { ...facts, color: style("accent"), size: Math.max(facts.size, 1.5), zIndex: 1 }
        : { ...facts, hidden: !isCommunities };
    },
    zIndex: true,
  });
  drawing.setCustomBBox(BOX[view]);
  drawing.scheduleRefresh(); // a box counts only from the next time that nodes are placed
  // Sigma draws a highlighted node over its label, and a community's label stands in its circle.
  const { hovers, hoverNodes } = drawing.getCanvases();
  hoverNodes.after(hovers);
  drawing.on("clickNode", ({ node }) => select(Number(node)));
  drawing.on("clickStage", () => select(null));
  stage.setAttribute("aria-label", isCommunities ? data.describes.communities : data.describes.accounts);
  stage.dataset.nodes = graph.order;
  stage.dataset.edges = graph.size;
  for (const button of app.querySelectorAll("[data-view]"))
    button.setAttribute("aria-pressed", String(button.dataset.view === view));
  part("search").hidden = isCommunities;
}

const count = (value) => value.toLocaleString("en");

// Of an account without a name the count is rounded down: the exact one would tell by the tables whose it is.
const followers = (at) => (accounts.community[at] < 0 ? "at least " : "") + count(accounts.followers[at]);

function rows(caption, [what, number], numbers) {
  const table = element("table", undefined, { class: "sorts" });
  const more = numbers.length > NEIGHBOURS ? `, the first ${count(NEIGHBOURS)} of ${count(numbers.length)}` : "";
  table.append(element("caption", caption + more));
  const head = element("tr");
  head.append(element("th", what, { scope: "col" }), element("th", number, { scope: "col", class: "n" }));
  table.createTHead().append(head);
  const body = table.createTBody();
  for (const [at, value, words = count(value)] of numbers.slice(0, NEIGHBOURS)) {
    const row = element("tr");
    const cell = element("th", undefined, { scope: "row" });
    const button = element("button", view === "communities" ? `Community ${at + 1}` : accounts.label[at], { type: "button", dir: "auto" });
    button.addEventListener("click", () => select(at, true));
    cell.append(button);
    row.append(cell, element("td", words, { class: "n", "data-value": value }));
    body.append(row);
  }
  window.sortable(table); // of the page's own program
  return table;
}

// The tables' rows about what is drawn, by what they are about: they and the map show each other.
const about = {
  communities: [...document.querySelectorAll("tr[data-community]")],
  accounts: [...document.querySelectorAll("tr[data-account]")],
};
const drawnAs = (row) => Number(row.dataset[view === "communities" ? "community" : "account"]);

// Marks the rows of what is selected, and leaves reader and focus where they are: to go to a row is a button.
function mark(at) {
  for (const row of document.querySelectorAll("tr[aria-current]")) row.removeAttribute("aria-current");
  const found = at === null ? [] : about[view].filter((row) => drawnAs(row) === at);
  for (const row of found) row.setAttribute("aria-current", "true");
  part("row").hidden = !found.length;
}

function goToRow() {
  const row = document.querySelector("tr[aria-current]");
  for (let folded = row.closest("details"); folded; folded = folded.parentElement.closest("details")) folded.open = true;
  row.scrollIntoView({ block: "center" });
  row.querySelector("button.shows").focus({ preventScroll: true });
}

// What a row is about becomes a button that shows it on the map.
function connect(row, which) {
  const header = row.querySelector("th");
  const name = header.querySelector("bdi") ?? header.firstChild;
  const button = element("button", undefined, { type: "button", class: "shows", title: "Show on the map" });
  if (which === "communities") button.setAttribute("aria-label", `Community ${name.textContent}`);
  name.replaceWith(button);
  button.append(name);
  button.addEventListener("click", () => {
    if (view !== which) look(which);
    select(drawnAs(row), true);
    stage.scrollIntoView({ block: "center" });
    stage.focus({ preventScroll: true });
  });
}

function select(at, focus = false, from = at) {
  selected = at;
  hub = from;
  const leaves = chosen.contains(document.activeElement) || part("row") === document.activeElement;
  chosen.replaceChildren();
  chosen.hidden = at === null;
  // The button that had the focus is gone: without one, no key would reach the map.
  if (leaves) (at === null ? stage : chosen).focus();
  drawing.refresh();
  mark(at);
  if (at === null) {
    said.textContent = "Nothing is selected.";
    return;
  }
  let text;
  if (view === "communities") {
    text = `Community ${at + 1}: ${count(communities.accounts[at])} accounts, ${communities.trust[at]}.`;
    const links = communities.edges.filter((edge) => edge[0] === at || edge[1] === at);
    const ends = links.map(([one, other, follows]) => [one === at ? other : one, follows]);
    chosen.append(rows(`Follows between community ${at + 1} and others drawn`, ["Community", "Follows"], ends));
  } else {
    const community = accounts.community[at];
    text =
      `${isolated(accounts.label[at])}: followed by ${followers(at)} visited accounts, ` +
      (community < 0 ? "in an unstable community" : `community ${community + 1}`) +
      `; drawn are ${count(followed[at].length)} followers and ${count(following[at].length)} followed.`;
    for (const [caption, others] of [["Followers drawn", followed[at]], ["Followed, drawn", following[at]]])
      chosen.append(rows(caption, ["Account", "Followed by, of the visited"], others.map((other) => [other, accounts.followers[other], followers(other)])));
  }
  said.textContent = text;
  const place = drawing.getNodeDisplayData(String(at));
  const target = { x: place.x, y: place.y, ratio: Math.min(drawing.getCamera().ratio, 0.5) };
  if (focus) move(target);
}

// Arrow keys go round the account selected otherwise and its neighbours by rank; Enter goes on from the one reached.
function step(by) {
  const round = [...new Set([hub, ...[...followed[hub], ...following[hub]].sort((one, other) => one - other)])];
  select(round[(round.indexOf(selected) + by + round.length) % round.length], true, hub);
}

function move(target) {
  if (still) drawing.getCamera().setState(target);
  else drawing.getCamera().animate(target, { duration: 300 });
}

function find() {
  const wanted = part("query").value.trim().toLowerCase();
  const found = part("found");
  found.replaceChildren();
  if (!wanted) return;
  const hits = [];
  words.forEach((word, at) => word.includes(wanted) && hits.push(at));
  // A whole name first: where one name begins others, it may be far down in the order of rank.
  const whole = (at) => words[at] === wanted || words[at] === `@${wanted}`;
  const first = [...hits.filter(whole), ...hits.filter((at) => !whole(at))].slice(0, RESULTS);
  for (const at of first) {
    const button = element("button", accounts.label[at], { type: "button", dir: "auto" });
    button.addEventListener("click", () => select(at, true));
    const item = element("li");
    item.append(button);
    found.append(item);
  }
  if (!hits.length) said.textContent = nameless ? `No dot with a name has this one. ${withoutNames}` : "No account drawn has this name.";
  else said.textContent = hits.length > RESULTS ? `The first ${RESULTS} of ${count(hits.length)} found.` : `${hits.length} found.`;
}

function look(which) {
  view = which;
  selected = null;
  draw();
  select(null);
}

function begin() {
  app.hidden = false;
  try {
    draw();
  } catch (error) {
    app.hidden = true;
    document.getElementById("map-without").hidden = false;
    return;
  }
  for (const button of app.querySelectorAll("[data-view]"))
    button.addEventListener("click", () => look(button.dataset.view));
  for (const [which, found] of Object.entries(about)) for (const row of found) connect(row, which);
  part("row").addEventListener("click", goToRow);
  const zoom = { in: (ratio) => ratio / 1.5, out: (ratio) => ratio * 1.5 };
  for (const button of app.querySelectorAll("[data-zoom]"))
    button.addEventListener("click", () => {
      const camera = drawing.getCamera().getState();
      const change = zoom[button.dataset.zoom];
      move(change ? { ratio: change(camera.ratio) } : { x: 0.5, y: 0.5, ratio: 1, angle: 0 });
    });
  stage.addEventListener("keydown", (event) => {
    const way = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] }[event.key];
    const camera = drawing.getCamera().getState();
    const walks = view === "accounts" && selected !== null;
    if (way && walks) step(way[0] - way[1]);
    else if (way) move({ x: camera.x + 0.1 * camera.ratio * way[0], y: camera.y + 0.1 * camera.ratio * way[1] });
    else if (event.key === "Enter" && walks) select(selected, true);
    else if (event.key === "+" || event.key === "-") move({ ratio: event.key === "+" ? camera.ratio / 1.5 : camera.ratio * 1.5 });
    else return;
    event.preventDefault();
  });
  // Not prevented: in the search field Escape also does what the browser makes of it.
  app.addEventListener("keydown", (event) => {
    if (event.key === "Escape" && !event.isComposing && selected !== null) select(null);
  });
  let waiting = 0;
  part("query").addEventListener("input", () => {
    clearTimeout(waiting);
    waiting = setTimeout(find, 150);
  });
  part("query").addEventListener("keydown", (event) => {
    if (event.key !== "Enter" || event.isComposing) return;
    clearTimeout(waiting);
    find();
    part("found").querySelector("button")?.click();
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
}

begin();
