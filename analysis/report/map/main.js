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
const { communities, accounts } = data;
const reach = (group) => group.x.reduce((far, x, at) => Math.max(far, Math.hypot(x, group.y[at]) + (group.radius ? group.radius[at] : 0)), 1);
const SPAN = { communities: reach(communities), accounts: 1.02 * Math.max(reach(communities), reach(accounts)) };

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

function graphOfCommunities() {
  const graph = new Graph({ type: "undirected" });
  const most = Math.max(1, ...communities.edges.map((edge) => edge[2]));
  communities.x.forEach((x, at) =>
    graph.addNode(at, {
      x,
      y: communities.y[at],
      size: communities.radius[at],
      ...colour(at),
      label: `${at + 1} · ${communities.accounts[at].toLocaleString("en")}`,
    }),
  );
  for (const [one, other, follows] of communities.edges)
    graph.addEdge(one, other, { size: SPAN.communities * (0.002 + 0.02 * Math.sqrt(follows / most)), color: style("known") });
  return graph;
}

function graphOfAccounts() {
  const graph = new Graph({ type: "directed" });
  const most = accounts.followers.reduce((one, other) => Math.max(one, other), 1);
  // Dots grow as far as their room allows; where there is next to none the map is a core to zoom into.
  const room = communities.radius[0] / Math.sqrt(communities.accounts[0]);
  const largest = Math.max(3, Math.min(10, (0.5 * room * Math.min(stage.clientWidth, stage.clientHeight)) / SPAN.accounts));
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

function label(context, node, settings, x) {
  if (!node.label) return;
  context.font = `${settings.labelSize}px ${settings.labelFont}`;
  const width = context.measureText(node.label).width + 8;
  // A community's label stands in its circle, or it would lie on its neighbours': zooming in shows it.
  if (x === undefined && width > 2 * node.size) return;
  const left = x ?? node.x - width / 2;
  context.fillStyle = style("raised");
  context.fillRect(left, node.y - 0.7 * settings.labelSize, width, 1.4 * settings.labelSize);
  context.fillStyle = style("ink");
  context.fillText(node.label, left + 4, node.y + settings.labelSize / 3);
}

const beside = (context, node, settings) => label(context, node, settings, node.x + node.size + 2);
const within = (context, node, settings) => label(context, node, settings);

function draw() {
  if (drawing) drawing.kill();
  stage.replaceChildren();
  const isCommunities = view === "communities";
  const graph = isCommunities ? graphOfCommunities() : graphOfAccounts();
  drawing = new Sigma(graph, stage, {
    allowInvalidContainer: true,
    nodeProgramClasses: { ring: Ring },
    defaultDrawNodeHover: isCommunities ? within : beside,
    ...(isCommunities ? { defaultDrawNodeLabel: within } : {}),
    hideEdgesOnMove: graph.size > 20000,
    itemSizesReference: isCommunities ? "positions" : "screen",
    zoomToSizeRatioFunction: isCommunities ? (ratio) => ratio : Math.sqrt,
    labelColor: { color: style("ink") },
    labelGridCellSize: isCommunities ? 40 : 100,
    labelFont: "sans-serif",
    labelRenderedSizeThreshold: isCommunities ? 8 : 6,
    nodeReducer: (node, facts) => (node === String(selected) ? { ...facts, highlighted: true, zIndex: 1 } : facts),
    edgeReducer: (edge, facts) => {
      if (selected === null) return facts;
      return graph.extremities(edge).includes(String(selected))
        ? { ...facts, color: style("accent"), size: Math.max(facts.size, 1.5), zIndex: 1 }
        : { ...facts, hidden: !isCommunities };
    },
    zIndex: true,
  });
  drawing.setCustomBBox({ x: [-SPAN[view], SPAN[view]], y: [-SPAN[view], SPAN[view]] });
  drawing.on("clickNode", ({ node }) => select(Number(node)));
  drawing.on("clickStage", () => select(null));
  stage.setAttribute("aria-label", isCommunities ? data.describes.communities : data.describes.accounts);
  stage.dataset.nodes = graph.order;
  stage.dataset.edges = graph.size;
  for (const button of app.querySelectorAll("[data-view]"))
    button.setAttribute("aria-pressed", String(button.dataset.view === view));
  part("search").hidden = isCommunities;
}

function rows(caption, numbers) {
  const table = element("table");
  table.append(element("caption", caption));
  const body = element("tbody");
  for (const [at, detail] of numbers.slice(0, NEIGHBOURS)) {
    const row = element("tr");
    const cell = element("th", undefined, { scope: "row" });
    const button = element("button", view === "communities" ? `Community ${at + 1}` : accounts.label[at], { type: "button", dir: "auto" });
    button.addEventListener("click", () => select(at, true));
    cell.append(button);
    row.append(cell, element("td", detail, { class: "n" }));
    body.append(row);
  }
  table.append(body);
  return table;
}

function select(at, focus = false) {
  selected = at;
  chosen.replaceChildren();
  chosen.hidden = at === null;
  drawing.refresh();
  if (at === null) {
    said.textContent = "Nothing is selected.";
    return;
  }
  const count = (value) => value.toLocaleString("en");
  let text;
  if (view === "communities") {
    text = `Community ${at + 1}: ${count(communities.accounts[at])} accounts, ${communities.trust[at]}.`;
    const links = communities.edges.filter((edge) => edge[0] === at || edge[1] === at);
    const ends = links.map(([one, other, follows]) => [one === at ? other : one, count(follows)]);
    chosen.append(rows(`Follows between community ${at + 1} and others drawn`, ends));
  } else {
    const community = accounts.community[at];
    text =
      `${isolated(accounts.label[at])}: followed by ${count(accounts.followers[at])} visited accounts, ` +
      (community < 0 ? "in an unstable community" : `community ${community + 1}`) +
      `; drawn are ${count(followed[at].length)} followers and ${count(following[at].length)} followed.`;
    for (const [caption, others] of [["Followers drawn", followed[at]], ["Followed, drawn", following[at]]])
      chosen.append(rows(caption, others.map((other) => [other, count(accounts.followers[other])])));
  }
  said.textContent = text;
  const place = drawing.getNodeDisplayData(String(at));
  const target = { x: place.x, y: place.y, ratio: Math.min(drawing.getCamera().ratio, 0.5) };
  if (focus) move(target);
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
  if (!hits.length) said.textContent = "No account drawn has this name.";
  else said.textContent = hits.length > RESULTS ? `The first ${RESULTS} of ${hits.length.toLocaleString("en")} found.` : `${hits.length} found.`;
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
    button.addEventListener("click", () => {
      view = button.dataset.view;
      selected = null;
      draw();
      select(null);
    });
  const zoom = { in: (ratio) => ratio / 1.5, out: (ratio) => ratio * 1.5 };
  for (const button of app.querySelectorAll("[data-zoom]"))
    button.addEventListener("click", () => {
      const camera = drawing.getCamera().getState();
      const change = zoom[button.dataset.zoom];
      move(change ? { ratio: change(camera.ratio) } : { x: 0.5, y: 0.5, ratio: 1, angle: 0 });
    });
  stage.addEventListener("keydown", (event) => {
    const step = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] }[event.key];
    const camera = drawing.getCamera().getState();
    if (step) move({ x: camera.x + 0.1 * camera.ratio * step[0], y: camera.y + 0.1 * camera.ratio * step[1] });
    else if (event.key === "+" || event.key === "-") move({ ratio: event.key === "+" ? camera.ratio / 1.5 : camera.ratio * 1.5 });
    else if (event.key === "Escape") select(null);
    else return;
    event.preventDefault();
  });
  let waiting = 0;
  part("query").addEventListener("input", () => {
    clearTimeout(waiting);
    waiting = setTimeout(find, 150);
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
}

begin();
