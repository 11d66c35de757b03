// The graph as a picture that one can explore, and the list beside it, which has the same content.
// Server-rendered parts work without this file; it draws, fetches what is around an entity, and keeps both in step.
const { cytoscape } = window;

const room = document.getElementById("graph");
const canvas = document.getElementById("graph-canvas");
const list = document.getElementById("graph-list");
const form = document.getElementById("graph-find");
const said = document.getElementById("graph-said");
const entities = new Map();
const relations = new Map();
let chosen = null;
let shownType = "";

room.classList.add("drawn");  // before the picture is made: it measures its place
const cy = cytoscape({
  container: canvas,
  elements: [],
  minZoom: 0.2,
  maxZoom: 3,
  wheelSensitivity: 0.3,
  boxSelectionEnabled: false,
  selectionType: "single",
});

/** What the sheet says for the light or the dark page; names keep their size, however near one looks. */
function painted() {
  const px = 1 / cy.zoom();
  const sheet = getComputedStyle(room);
  const value = (name) => sheet.getPropertyValue(name).trim();
  const hues = [...Array(8).keys()].map((hue) => ({
    selector: `node[hue = ${hue}]`,
    style: { "background-color": value(`--kind-${hue}`) },
  }));
  return [
    {
      selector: "node",
      style: {
        label: "data(name)", color: value("--graph-text"), "font-size": 12 * px, "text-valign": "bottom", "text-margin-y": 3 * px,
        "text-wrap": "ellipsis", "text-max-width": 110 * px, "text-background-color": value("--graph-ground"),
        "text-background-opacity": 0.85, "text-background-padding": px, width: 20 * px, height: 20 * px,
        "border-width": px, "border-color": value("--graph-line"),
      },
    },
    ...hues,
    {
      selector: "edge",
      style: {
        label: "data(predicate)", color: value("--graph-text"), "font-size": 10 * px,
        "text-rotation": "autorotate", "arrow-scale": px, "text-background-color": value("--graph-ground"), "text-background-opacity": 0.85,
        "line-color": value("--graph-line"), "target-arrow-color": value("--graph-line"), "target-arrow-shape": "triangle",
        "curve-style": "bezier", width: `mapData(evidence, 1, 10, ${1.5 * px}, ${6 * px})`,
      },
    },
    { selector: "node:selected", style: { "border-width": 4 * px, "border-color": value("--graph-chosen") } },
    { selector: ".apart", style: { display: "none" } },
  ];
}

const nodeOf = (id) => cy.getElementById(`n${id}`);
const spoken = (predicate) => predicate.replaceAll("_", " ");
const shows = (entity) => !shownType || entity.type === shownType;

function tell(words) {
  said.textContent = words;
}

const counted = (number, one, more) => `${number} ${number === 1 ? one : more}`;

/** How much of the graph is in sight. */
function size() {
  const facts = [...relations.values()].filter((fact) => shows(entities.get(fact.subject)) && shows(entities.get(fact.object)));
  const seen = counted([...entities.values()].filter(shows).length, "entity", "entities");
  return `${seen} and ${counted(facts.length, "fact", "facts")} are shown.`;
}

/** Adds a part of the graph beside `near`; gives the number of entities that are new. */
function take(part, near) {
  const at = near && nodeOf(near).nonempty() ? nodeOf(near).position() : null;
  const fresh = part.entities.filter((entity) => !entities.has(entity.id));
  fresh.forEach((entity, index) => {
    entities.set(entity.id, entity);
    const turn = (2 * Math.PI * index) / fresh.length;
    cy.add({
      data: { id: `n${entity.id}`, number: entity.id, name: entity.name, hue: entity.hue },
      position: at ? { x: at.x + 90 * Math.cos(turn), y: at.y + 90 * Math.sin(turn) } : undefined,
    });
  });
  for (const fact of part.relations.filter((one) => !relations.has(one.id))) {
    if (!entities.has(fact.subject) || !entities.has(fact.object)) continue;
    relations.set(fact.id, fact);
    cy.add({
      data: {
        id: `e${fact.id}`, source: `n${fact.subject}`, target: `n${fact.object}`,
        predicate: spoken(fact.predicate), evidence: Math.min(fact.evidence, 10),
      },
    });
  }
  return fresh.length;
}

/** For entities without a fact between them, which nothing pulls together: cells as wide to high as a name and its dot. */
function columns(number) {
  return Math.ceil(Math.sqrt((number * cy.width() / 120) / (cy.height() / 50)));
}

function arrange(anew) {
  for (const entity of entities.values()) nodeOf(entity.id).toggleClass("apart", !shows(entity));
  const seen = cy.elements().not(".apart");
  const place = { animate: false, fit: true, padding: 36, boundingBox: { x1: 0, y1: 0, w: cy.width(), h: cy.height() } };
  const pulled = {
    name: "cose", randomize: anew, nodeRepulsion: () => 20000, idealEdgeLength: () => 60,
    componentSpacing: 40, gravity: 2, numIter: 1500,
  };
  seen.layout({ ...place, ...(seen.edges().empty() ? { name: "grid", cols: columns(seen.length) } : pulled) }).run();
  if (cy.zoom() > 1.4) {
    cy.zoom(1.4);
    cy.center(seen);
  }
}

function element(name, attributes, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children);  // texts become text nodes: a name is never read as markup
  return made;
}

function factOf(fact, id) {
  const outward = fact.subject === id;
  const other = entities.get(outward ? fact.object : fact.subject);
  const predicate = spoken(fact.predicate);
  const words = outward ? `${predicate} ${other.name}` : `${other.name} ${predicate} this`;
  return element("li", {}, element("a", { href: `facts/${fact.id}` }, words));
}

/** The list, anew from what is known; focus stays on the entity that it was on. */
function write() {
  const focused = document.activeElement?.dataset?.expand;
  const facts = new Map();
  for (const fact of relations.values()) {
    if (!shows(entities.get(fact.subject)) || !shows(entities.get(fact.object))) continue;
    for (const end of [fact.subject, fact.object]) facts.set(end, [...(facts.get(end) ?? []), fact]);
  }
  const rows = [...entities.values()].filter(shows).map((entity) => {
    const around = { href: `graph?entity=${entity.id}`, "data-expand": entity.id };
    if (entity.id === chosen) around["aria-current"] = "true";
    const row = element("li", {}, element("a", around, entity.name), " ",
      element("span", { class: `kind kind-${entity.hue}` }, entity.type), " ",
      element("a", { class: "page", href: `entities/${entity.id}`, "aria-label": `Page of ${entity.name}` }, "page"));
    const own = facts.get(entity.id) ?? [];
    if (own.length) row.append(element("ul", {}, ...own.map((fact) => factOf(fact, entity.id))));
    return row;
  });
  list.replaceChildren(...rows);
  if (focused) list.querySelector(`[data-expand="${CSS.escape(focused)}"]`)?.focus({ preventScroll: true });
}

function choose(id) {
  chosen = id;
  cy.elements().unselect();
  if (id !== null) nodeOf(id).select();
  for (const link of list.querySelectorAll("[data-expand]")) {
    if (Number(link.dataset.expand) === id) {
      link.setAttribute("aria-current", "true");
      list.scrollTop = link.offsetTop - list.offsetTop - 40;
    } else link.removeAttribute("aria-current");
  }
}

async function fetched(wanted) {
  let answer, part;
  try {
    answer = await fetch(`graph.json?${new URLSearchParams(wanted)}`, { headers: { Accept: "application/json" } });
    part = answer.ok && !answer.redirected ? await answer.json() : null;
  } catch {
    tell("The service did not answer. Try again.");
    return null;
  }
  if (answer.redirected) {
    location.reload();  // the page itself leads to the sign-in
    return null;
  }
  if (answer.ok) return part;
  tell(answer.status === 404 ? "It is not there any more." : `The service answered ${answer.status}. Try again.`);
  return null;
}

async function show(wanted, near = null) {
  room.setAttribute("aria-busy", "true");
  try {
    const part = await fetched(wanted);
    if (part === null) return;
    const isFirst = entities.size === 0;
    const added = take(part, near ?? part.focus);
    arrange(isFirst);
    write();
    choose(part.focus ?? chosen);
    const more = part.is_cut ? " There are more than are shown." : "";
    if (part.said) tell(part.said);
    else if (near === null) tell(`${size()}${more}`);
    else tell(`${entities.get(near).name}: ${counted(added, "more entity", "more entities")}. ${size()}${more}`);
  } finally {
    room.setAttribute("aria-busy", "false");
  }
}

function expand(id) {
  history.replaceState(null, "", `graph?entity=${id}`);
  shownType = "";  // what is around it has other types
  form.elements.type.value = "";
  return show({ entity: id }, id);
}

function zoom(factor) {
  cy.zoom({ level: cy.zoom() * factor, renderedPosition: { x: cy.width() / 2, y: cy.height() / 2 } });
}

const fit = () => cy.fit(cy.elements().not(".apart"), 36);
const acts = { in: () => zoom(1.3), out: () => zoom(1 / 1.3), fit };

/** The nearest entity of the picture in the direction of an arrow key. */
function beside(key) {
  const seen = cy.nodes().not(".apart");
  if (chosen === null || nodeOf(chosen).hasClass("apart")) return seen.first();
  const from = nodeOf(chosen).position();
  const [dx, dy] = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[key];
  const far = (node) => {
    const ahead = (node.position("x") - from.x) * dx + (node.position("y") - from.y) * dy;
    const aside = Math.abs((node.position("x") - from.x) * dy) + Math.abs((node.position("y") - from.y) * dx);
    return ahead <= 1 ? Infinity : ahead + 2 * aside;
  };
  return seen.filter((node) => far(node) < Infinity).min((node) => far(node)).ele ?? cy.collection();
}

function moved(event) {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const byKey = { "+": "in", "=": "in", "-": "out", 0: "fit" };
  if (event.key in byKey) acts[byKey[event.key]]();
  else if (event.key.startsWith("Arrow")) {
    const next = beside(event.key);
    if (next.nonempty()) {
      choose(next.data("number"));
      cy.center(next);
      tell(`${next.data("name")}, ${entities.get(chosen).type}, ${next.connectedEdges().length} facts shown. Enter shows more.`);
    }
  } else if ((event.key === "Enter" || event.key === " ") && chosen !== null) expand(chosen);
  else return;
  event.preventDefault();
}

cy.on("tap", "node", (event) => expand(event.target.data("number")));
canvas.addEventListener("keydown", moved);
for (const button of document.querySelectorAll("[data-act]")) button.addEventListener("click", acts[button.dataset.act]);
list.addEventListener("click", (event) => {
  const link = event.target.closest("[data-expand]");
  if (!link || event.ctrlKey || event.metaKey || event.shiftKey) return;
  event.preventDefault();
  expand(Number(link.dataset.expand));
});

function asked() {
  const fields = new FormData(form);
  return Object.fromEntries([...fields].filter(([, value]) => value));
}
form.addEventListener("submit", (event) => {
  event.preventDefault();
  const wishes = asked();
  shownType = wishes.q ? "" : (wishes.type ?? "");  // with a name, the type says which one is meant
  show(wishes);
});
form.elements.type.addEventListener("change", () => {
  form.elements.q.value = "";
  form.requestSubmit();
});

new ResizeObserver(() => {
  cy.resize();
  fit();
}).observe(canvas);

let isDue = false;
function sheet() {
  if (isDue) return;
  isDue = true;
  requestAnimationFrame(() => {
    isDue = false;
    cy.style(painted());
  });
}
cy.on("zoom", sheet);
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", sheet);
sheet();
const wanted = new URLSearchParams(location.search);
shownType = wanted.get("q") || wanted.get("entity") ? "" : form.elements.type.value;
show(Object.fromEntries([...wanted].filter(([, value]) => value)));
