"use strict";

const data = JSON.parse(document.getElementById("data").textContent);
const { cells, thumbnails, scores, restored } = data;
const find = (selector, root = document) => root.querySelector(selector);
const all = (selector, root = document) => [...root.querySelectorAll(selector)];
const clamp = (value, low, high) => Math.min(Math.max(value, low), high);

function make(name, properties = {}, ...children) {
  const element = document.createElement(name);
  Object.assign(element, properties);
  element.append(...children);
  return element;
}

function note(text) {
  return make("p", { className: "note", textContent: text });
}

// ---- What a person has set: it is kept when the page reloads, but not when its window is closed.

const STORE = `dip_lab report ${location.pathname}`;
const state = {
  sort: null, filter: "", selects: {}, checked: [], axis: "iteration", log: false, colour: find("#colour").value,
  hidden: [], view: { zoom: 1, x: 0, y: 0 }, left: {}, splits: {}, theme: "auto", paused: false, ...remembered(),
};

function remembered() {
  try {
    return JSON.parse(sessionStorage.getItem(STORE)) ?? {};
  } catch {
    return {};  // storage is forbidden: the page starts afresh
  }
}

function remember() {
  const box = find("#cells .scroll");
  const focus = document.activeElement;
  const places = { page: scrollY, left: box.scrollLeft, top: box.scrollTop };
  try {
    sessionStorage.setItem(STORE, JSON.stringify({ ...state, places, focus: pathOf(focus) }));
  } catch { /* as above */ }
}

// A selector of the focused element that finds it again in the reloaded page.
function pathOf(element) {
  if (!element || element === document.body) return null;
  if (element.id) return `#${element.id}`;
  const parent = element.closest("[data-cell], [id]");
  const twins = parent ? all(element.localName, parent) : [];
  if (!parent || parent === element) return null;
  const root = parent.id ? `#${parent.id}` : `tr[data-cell="${parent.dataset.cell}"]`;
  return [root, element.localName, twins.indexOf(element)];
}

function restorePlaces() {
  const { places, focus } = remembered();
  const element = Array.isArray(focus) ? all(focus[1], find(focus[0]) ?? document)[focus[2]] : focus && find(focus);
  element?.focus({ preventScroll: true });
  if (!places) return;
  history.scrollRestoration = "manual";
  const box = find("#cells .scroll");
  [box.scrollLeft, box.scrollTop] = [places.left, places.top];
  scrollTo(0, places.page);
}

// ---- The table: sort, filter, choose.

const rows = all("#cells tbody tr");
const headings = all("#cells thead th[data-key]");
const cards = all(".card");
let shown = cells.map((_, index) => index);

function fieldOf(index, column) {
  return rows[index].cells[column].dataset.value;
}

function inOrder() {
  const order = cells.map((_, index) => index);
  const heading = state.sort && headings.find((th) => th.dataset.key === state.sort.key);
  if (!heading) return order;
  const numeric = heading.classList.contains("numeric");
  const compare = numeric ? (a, b) => a - b : (a, b) => a.localeCompare(b, undefined, { numeric: true });
  const sign = state.sort.direction === "ascending" ? 1 : -1;
  return order.sort((i, j) => {
    const [a, b] = [fieldOf(i, heading.cellIndex), fieldOf(j, heading.cellIndex)];
    if (a === "" || b === "") return (a === "") - (b === "");  // empty last, either way
    return sign * compare(a, b);
  });
}

function passes(index) {
  const said = `${rows[index].textContent} ${cells[index].name}`.toLowerCase();
  const words = state.filter.toLowerCase().split(/\s+/);
  const chosen = Object.entries(state.selects);
  return words.every((word) => said.includes(word))
    && chosen.every(([key, value]) => value === "" || `=${cells[index].keys[key]}` === value);
}

function sortBy(heading) {
  const { key } = heading.dataset;
  const first = scores[key] === "higher" || key.startsWith("psnr") ? "descending" : "ascending";  // the best on top
  const other = first === "ascending" ? "descending" : "ascending";
  state.sort = { key, direction: state.sort?.key === key && state.sort.direction === first ? other : first };
  showRows();
}

// Moving a row takes its focus away, so rows are moved only when their order changes.
function arrange(elements, order) {
  const parent = elements[0].parentElement;
  const wanted = order.map((index) => elements[index]);
  if (wanted.some((element, place) => parent.children[place] !== element)) parent.append(...wanted);
}

function showRows() {
  const order = inOrder();
  shown = order.filter(passes);
  const passing = new Set(shown);
  for (const elements of [rows, cards]) {
    arrange(elements, order);
    elements.forEach((element, index) => { element.hidden = !passing.has(index); });
  }
  for (const th of headings) {
    th.setAttribute("aria-sort", state.sort?.key === th.dataset.key ? state.sort.direction : "none");
  }
  find("#shown").textContent = shown.length === cells.length ? "" : `${shown.length} of ${cells.length} shown`;
  hideEmptyColumns();
  markBest();
  drawCharts();
}

// Scores that only another task has, such as the PSNR in the hole, would be an empty column.
function hideEmptyColumns() {
  for (const th of headings) {
    const isEmpty = shown.length > 0 && shown.every((index) => fieldOf(index, th.cellIndex) === "");
    for (const row of [th.parentElement, ...rows]) row.cells[th.cellIndex].hidden = isEmpty;
  }
}

// PSNRs of different pictures, or tasks, cannot be compared.
function markBest() {
  for (const th of headings.filter((heading) => heading.dataset.key in scores)) {
    const groups = new Map();
    for (const index of shown) {
      const problem = JSON.stringify(cells[index].problem);
      if (fieldOf(index, th.cellIndex) !== "" && cells[index].status !== "failed") {
        groups.set(problem, [...(groups.get(problem) ?? []), index]);
      }
    }
    for (const row of rows) row.cells[th.cellIndex].classList.remove("best");
    for (const group of groups.values()) {
      const extreme = scores[th.dataset.key] === "lower" ? Math.min : Math.max;
      const best = extreme(...group.map((index) => Number(fieldOf(index, th.cellIndex))));
      const alone = group.length === 1;
      for (const index of group) {
        const isBest = !alone && Number(fieldOf(index, th.cellIndex)) === best;
        rows[index].cells[th.cellIndex].classList.toggle("best", isBest);
      }
    }
  }
}

function checkedCells() {
  return cells.map((_, index) => index).filter((index) => state.checked.includes(cells[index].name));
}

function showChecked() {
  rows.forEach((row, index) => {
    const isChecked = state.checked.includes(cells[index].name);
    find("input", row).checked = isChecked;
    row.classList.toggle("chosen", isChecked);
  });
  const count = checkedCells().length;
  find("#clear").hidden = count === 0;
  find("#compare").hidden = count !== 2;
  find("#clear").textContent = `clear choice of ${count}`;
  showDifferences();
}

function startTable() {
  find("#filter").value = state.filter;
  find("#filter").addEventListener("input", (event) => { state.filter = event.target.value; showRows(); });
  for (const select of all("select[data-key]")) {
    select.value = state.selects[select.dataset.key] ?? "";
    if (select.selectedIndex < 0) select.value = state.selects[select.dataset.key] = "";  // that value is gone
    select.addEventListener("change", () => { state.selects[select.dataset.key] = select.value; showRows(); });
  }
  for (const th of headings) find("button", th).addEventListener("click", () => sortBy(th));
  rows.forEach((row, index) => find("input", row).addEventListener("change", (event) => {
    const others = state.checked.filter((name) => name !== cells[index].name);
    state.checked = event.target.checked ? [...others, cells[index].name] : others;
    showChecked();
    drawCharts();
  }));
  find("#clear").addEventListener("click", () => {
    state.checked = [];
    showChecked();
    drawCharts();
    find("#filter").focus();
  });
}

// ---- The differences between two chosen cells.

function showDifferences() {
  const place = find("#diff");
  const pair = checkedCells();
  if (pair.length !== 2) {
    const ticked = ["none is ticked", "one is ticked"][pair.length] ?? `${pair.length} are ticked`;
    place.replaceChildren(note(`Tick two cells in the table to compare their settings: ${ticked}.`));
    return;
  }
  const [first, second] = pair.map((index) => cells[index]);
  const old = [first, second].filter((cell) => cell.config === null);
  const settings = old.length ? [first.keys, second.keys] : [first.config, second.config];
  const keys = [...new Set(settings.flatMap(Object.keys))].filter((key) => settings[0][key] !== settings[1][key]);
  const names = old.map((cell) => cell.label).join(" and ");
  place.replaceChildren(
    ...(old.length ? [note(`No config is stored in ${names}: an old result. The values in the table are compared instead.`)] : []),
    keys.length ? differenceTable(keys, first, second, settings) : note("Their settings are the same."),
  );
}

function differenceTable(keys, first, second, settings) {
  const head = ["key", first.label, second.label].map((title) => make("th", { scope: "col", textContent: title }));
  const body = keys.sort().map((key) => make("tr", {}, make("th", { scope: "row", textContent: key }),
    ...settings.map((config) => valueField(config[key]))));
  const table = make("table", {}, make("thead", {}, make("tr", {}, ...head)), make("tbody", {}, ...body));
  return make("div", { className: "scroll", tabIndex: 0 }, table);
}

function valueField(value) {
  const field = make("td");
  if (value === undefined || value === "") field.append(make("span", { className: "none", textContent: "not set" }));
  else field.textContent = value.replace(/^"(.*)"$/, "$1");
  return field;
}

// ---- The curves, as SVG.

const SVG = "http://www.w3.org/2000/svg";
const HEIGHT = 320;
const MARGIN = { left: 52, right: 12, top: 10, bottom: 38 };
const COLOURS = 10;
const charts = all(".chart").map((figure) => (
  { figure, plot: find(".plot", figure), curve: figure.dataset.curve, at: null }
));

function svg(name, attributes = {}, text = "") {
  const element = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  element.textContent = text;
  return element;
}

function groupOf(cell) {
  return state.colour === "cell" ? cell.label : cell.keys[state.colour] || "none";
}

// {group: how it is drawn}, the same whatever is filtered, so that a network keeps its colour.
function looks() {
  const names = [...new Set(cells.map(groupOf))];
  names.sort((a, b) => a.localeCompare(b, undefined, { numeric: true }));
  const dashes = ["none", "6 3", "2 3", "9 3 2 3"];
  return new Map(names.map((name, place) => [name, {
    colour: `var(--curve-${place % COLOURS})`, dash: dashes[Math.floor(place / COLOURS) % dashes.length],
  }]));
}

function candidates() {
  const checked = checkedCells();
  return (checked.length ? checked : shown).filter((index) => cells[index].curve);
}

function drawCharts() {
  const look = looks();
  const indices = candidates();
  const groups = new Map();
  for (const index of indices) groups.set(groupOf(cells[index]), (groups.get(groupOf(cells[index])) ?? 0) + 1);
  const drawn = indices.filter((index) => !state.hidden.includes(groupOf(cells[index])));
  const which = checkedCells().length ? "the ticked cells" : "all cells shown";
  find("#overlaid").textContent = `${drawn.length} curve${drawn.length === 1 ? "" : "s"}, ${which}`;
  for (const chart of charts) drawChart(chart, drawn, look);
  drawLegend(groups, look);
}

function pointsOf(chart, index) {
  const { curve } = cells[index];
  const points = curve[state.axis].map((x, place) => ({ x, y: curve[chart.curve][place], place }));
  const canBeDrawn = (value, isLog) => value !== null && (value > 0 || !isLog);
  return points.filter(({ x, y }) => canBeDrawn(x, state.log) && canBeDrawn(y, chart.curve === "loss"));
}

function drawChart(chart, indices, look) {
  const lines = indices.map((index) => ({ index, points: pointsOf(chart, index) }))
    .filter(({ points }) => points.length);
  chart.lines = lines;
  chart.at = null;
  const width = Math.max(chart.plot.clientWidth, 200);
  if (!lines.length) {
    chart.plot.replaceChildren(note("No curves here."));
    return;
  }
  const caption = find("figcaption", chart.figure).textContent;
  const picture = svg("svg", {
    viewBox: `0 0 ${width} ${HEIGHT}`, width, height: HEIGHT, tabindex: 0, role: "img",
    "aria-label": `${caption}: arrow keys go along a curve, up and down to another`,
  });
  chart.x = xScale(lines, width);
  chart.y = yScale(lines, chart.curve === "loss");
  picture.append(...grid(chart, width));
  const inside = svg("g", { "clip-path": `url(#inside-${chart.curve})` });
  const clip = svg("clipPath", { id: `inside-${chart.curve}` });
  clip.append(svg("rect", {
    x: MARGIN.left, width: width - MARGIN.left - MARGIN.right + 6,
    y: MARGIN.top - 4, height: HEIGHT - MARGIN.top - MARGIN.bottom + 4,
  }));
  picture.append(clip, inside);
  for (const line of lines) inside.append(...drawLine(chart, line, look.get(groupOf(cells[line.index]))));
  chart.cursor = svg("circle", { r: 5, class: "cursor", visibility: "hidden" });
  picture.append(chart.cursor);
  chart.tip = make("div", { className: "tip", hidden: true });
  chart.tip.setAttribute("role", "status");
  chart.plot.replaceChildren(picture, chart.tip);
  listen(chart, picture);
}

function drawLine(chart, line, { colour, dash }) {
  line.screen = line.points.map(({ x, y }) => [chart.x.at(x), chart.y.at(y)]);
  const along = line.screen.map(([x, y]) => `${x.toFixed(1)},${y.toFixed(1)}`).join(" ");
  const { chosen, peak } = cells[line.index].curve;
  const mark = (place, attributes) => {
    const found = line.points.findIndex((point) => point.place === place);
    return found < 0 ? [] : [svg("circle", { cx: line.screen[found][0], cy: line.screen[found][1], ...attributes })];
  };
  line.group = svg("g", { class: "curve", style: `color: ${colour}`, "data-cell": line.index });
  line.group.append(svg("polyline", { points: along, "stroke-dasharray": dash }),
    ...mark(chosen, { r: 3.5, class: "dot" }),
    ...(chart.curve === "psnr" ? mark(peak, { r: 5.5, class: "ring" }) : []));
  return [line.group];
}

function xScale(lines, width) {
  const values = lines.flatMap(({ points }) => points.map(({ x }) => x));
  const low = state.log ? values.reduce((a, b) => Math.min(a, b)) : 0;
  const high = values.reduce((a, b) => Math.max(a, b));
  return scale(low, high, MARGIN.left, width - MARGIN.right, state.log, Math.max(width / 80, 3));
}

// The first iterations are far below the rest, which they would flatten: the axis begins at the lowest twentieth.
function yScale(lines, isLog) {
  const values = lines.flatMap(({ points }) => points.map(({ y }) => y)).sort((a, b) => a - b);
  const low = values[isLog ? 0 : Math.floor(values.length / 20)];
  const high = values[values.length - 1];
  if (isLog) return scale(low / 1.3, high * 1.1, HEIGHT - MARGIN.bottom, MARGIN.top, true);
  const room = (high - low) * 0.04 || 0.5;
  return scale(low - room, high + room, HEIGHT - MARGIN.bottom, MARGIN.top, false);
}

function scale(low, high, from, to, isLog, most = 8) {
  const form = isLog ? Math.log10 : (value) => value;
  const [start, end] = [form(low), form(high)];
  const span = end - start || 1;
  return {
    at: (value) => from + (form(value) - start) / span * (to - from),
    ticks: isLog ? logTicks(low, high) : evenTicks(low, high, most),
  };
}

function evenTicks(low, high, most) {
  const rough = (high - low) / most || 1;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = power * [1, 2, 5, 10].find((factor) => factor * power >= rough);
  const ticks = [];
  for (let k = Math.ceil(low / step); k * step <= high * (1 + 1e-9); k += 1) {
    ticks.push(Number((k * step).toPrecision(12)));
  }
  return ticks;
}

function logTicks(low, high) {
  const factors = high / low > 1e4 ? [1] : high / low > 30 ? [1, 3] : [1, 2, 5];
  const ticks = [];
  for (let power = Math.floor(Math.log10(low)); power <= Math.log10(high); power += 1) {
    for (const factor of factors) {
      const value = Number((factor * 10 ** power).toPrecision(3));
      if (value >= low && value <= high) ticks.push(value);
    }
  }
  return ticks;
}

function grid(chart, width) {
  const [left, right, bottom] = [MARGIN.left, width - MARGIN.right, HEIGHT - MARGIN.bottom];
  const across = chart.y.ticks.flatMap((tick) => {
    const y = chart.y.at(tick);
    return [svg("line", { x1: left, x2: right, y1: y, y2: y, class: "grid" }),
      svg("text", { x: left - 8, y, dy: "0.32em", "text-anchor": "end" }, said(tick))];
  });
  const along = chart.x.ticks.flatMap((tick) => {
    const x = chart.x.at(tick);
    return [svg("line", { x1: x, x2: x, y1: bottom, y2: bottom + 4, class: "axis" }),
      svg("text", { x, y: bottom + 17, "text-anchor": x > width - 30 ? "end" : "middle" }, said(tick))];
  });
  return [...across, ...along,
    svg("line", { x1: left, x2: right, y1: bottom, y2: bottom, class: "axis" }),
    svg("text", { x: (left + right) / 2, y: HEIGHT - 4, "text-anchor": "middle", class: "title" }, state.axis)];
}

function said(value) {
  if (value === 0 || Math.abs(value) >= 0.001) return value.toLocaleString("en").replaceAll(",", "\u2009");
  const [factor, power] = value.toExponential(0).split("e-");
  const raised = [...power].map((digit) => "⁰¹²³⁴⁵⁶⁷⁸⁹"[digit]).join("");
  return `${factor === "1" ? "" : `${factor}·`}10⁻${raised}`;
}

function listen(chart, picture) {
  picture.addEventListener("pointermove", (event) => {
    const box = picture.getBoundingClientRect();
    point(chart, nearest(chart, event.clientX - box.left, event.clientY - box.top));
  });
  picture.addEventListener("pointerleave", () => point(chart, null));
  picture.addEventListener("blur", () => point(chart, null));
  picture.addEventListener("focus", () => point(chart, chart.at ?? atTheDot(chart, 0)));
  picture.addEventListener("keydown", (event) => {
    const steps = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] }[event.key];
    if (!steps || !chart.at) return;
    event.preventDefault();
    const line = (chart.at.line + steps[0] + chart.lines.length) % chart.lines.length;
    if (steps[0]) return point(chart, atTheDot(chart, line));
    point(chart, { line, place: clamp(chart.at.place + steps[1], 0, chart.lines[line].points.length - 1) });
  });
}

function atTheDot(chart, line) {
  const { points, index } = chart.lines[line];
  const place = points.findIndex((at) => at.place === cells[index].curve.chosen);
  return { line, place: place < 0 ? points.length - 1 : place };
}

function nearest(chart, x, y) {
  let best = null;
  let least = 60 ** 2;  // px: a pointer that is further away means no curve
  chart.lines.forEach(({ screen }, line) => screen.forEach(([px, py], place) => {
    const distance = (px - x) ** 2 + (py - y) ** 2;
    if (distance < least) [best, least] = [{ line, place }, distance];
  }));
  return best;
}

function point(chart, at) {
  chart.at = at;
  chart.tip.hidden = !at;
  chart.cursor.setAttribute("visibility", at ? "visible" : "hidden");
  emphasise(at ? (index) => index === chart.lines[at.line].index : null);
  if (!at) return;
  const { screen, points, index, group } = chart.lines[at.line];
  const [x, y] = screen[at.place];
  chart.cursor.setAttribute("cx", x);
  chart.cursor.setAttribute("cy", y);
  chart.cursor.style.color = group.style.color;
  chart.tip.replaceChildren(...described(cells[index], points[at.place].place));
  const { clientWidth } = chart.plot;
  chart.tip.style.left = `${clamp(x - chart.tip.offsetWidth / 2, 0, clientWidth - chart.tip.offsetWidth)}px`;
  const above = y - chart.tip.offsetHeight - 14;
  chart.tip.style.top = `${above < 0 ? y + 14 : above}px`;
}

function described(cell, place) {
  const { iteration, seconds, psnr, loss, chosen, peak } = cell.curve;
  const marks = [...(place === chosen ? ["chosen"] : []), ...(place === peak ? ["peak"] : [])];
  const values = [
    `iteration ${said(iteration[place])}${marks.length ? ` (${marks.join(", ")})` : ""}`,
    ...(seconds[place] === null ? [] : [`${said(Number(seconds[place].toFixed(1)))} s`]),
    ...(psnr[place] === null ? [] : [`${psnr[place].toFixed(2)} dB`]),
    ...(loss[place] === null ? [] : [`loss ${loss[place].toPrecision(3)}`]),
  ];
  return [make("b", { textContent: cell.label }), ...values.map((value) => make("span", { textContent: value }))];
}

// The curves for which `isMeant` is true come forward, the others fade; null: all look as usual.
function emphasise(isMeant) {
  for (const { lines = [] } of charts) {
    for (const { group, index } of lines) {
      group.classList.toggle("faded", isMeant !== null && !isMeant(index));
      group.classList.toggle("forward", isMeant !== null && isMeant(index));
    }
  }
}

function drawLegend(groups, look) {
  const focused = document.activeElement?.dataset?.group;
  const names = [...look.keys()].filter((name) => groups.has(name));
  const buttons = names.map((name) => legendButton(name, groups.get(name), look.get(name)));
  const turn = (text, hidden) => {
    const button = make("button", { type: "button", className: "plain", textContent: text });
    button.addEventListener("click", () => { state.hidden = hidden; drawCharts(); });
    return button;
  };
  find(".legend").replaceChildren(...buttons, ...(names.length > 1 ? [turn("all", []), turn("none", names)] : []));
  if (focused !== undefined) buttons.find((button) => button.dataset.group === focused)?.focus();
}

function legendButton(name, count, { colour, dash }) {
  const sample = svg("svg", { viewBox: "0 0 22 8", width: 22, height: 8, "aria-hidden": "true" });
  sample.style.color = colour;
  sample.append(svg("line", { x1: 0, x2: 22, y1: 4, y2: 4, "stroke-dasharray": dash }));
  const button = make("button", { type: "button" }, sample, name);
  if (count > 1) button.append(make("span", { className: "number", textContent: count }));
  button.dataset.group = name;
  button.setAttribute("aria-pressed", String(!state.hidden.includes(name)));
  button.addEventListener("click", () => {
    const isHidden = state.hidden.includes(name);
    state.hidden = isHidden ? state.hidden.filter((other) => other !== name) : [...state.hidden, name];
    drawCharts();
  });
  button.addEventListener("pointerenter", () => emphasise((index) => groupOf(cells[index]) === name));
  button.addEventListener("pointerleave", () => emphasise(null));
  return button;
}

function startCurves() {
  const colour = find("#colour");
  if ([...colour.options].some((option) => option.value === state.colour)) colour.value = state.colour;
  else state.colour = colour.value;
  colour.addEventListener("change", () => { state.colour = colour.value; state.hidden = []; drawCharts(); });
  for (const radio of all("input[name=axis]")) {
    radio.checked = radio.value === state.axis;
    radio.addEventListener("change", () => { state.axis = radio.value; drawCharts(); });
  }
  find("#log").checked = state.log;
  find("#log").addEventListener("change", (event) => { state.log = event.target.checked; drawCharts(); });
  let width = innerWidth;
  addEventListener("resize", () => { if (innerWidth !== width) { width = innerWidth; drawCharts(); } });
}

// ---- The pictures: compared by a line, zoomed and moved together.

const MOST_ZOOM = 32;
const NEAR = 18;  // px: a drag that starts nearer than this to the line moves it
const near = new Set();  // cards on the screen, or soon

function picturesOf(card) {
  const { pictures, name } = cells[card.dataset.cell];
  const left = pictures.slice(0, -1).find(({ caption }) => caption === state.left[name]) ?? pictures[0];
  return { left, right: pictures[pictures.length - 1] };
}

// A card gets its pictures when it comes near: a hundred cards cost nothing until then.
function fill(card) {
  for (const side of all(".side", card)) {
    const picture = picturesOf(card)[side.dataset.side];
    const old = find("img", side);
    if (old?.dataset.thumbnail === picture.thumbnail) continue;
    const image = make("img", { src: thumbnails[picture.thumbnail], alt: picture.caption, draggable: false });
    image.dataset.thumbnail = picture.thumbnail;
    side.replaceChildren(image);
  }
  const tag = find(".tag.left", card);
  const { left } = picturesOf(card);
  if (tag) tag.textContent = left.scale ? `${left.caption}, ${left.scale}` : left.caption;
  sharpen(card);
}

// Zoomed in, the picture itself takes the thumbnail's place, if its file is still next to the page.
function sharpen(card) {
  const { zoom } = state.view;
  const { clientWidth } = find(".stage", card);
  for (const side of all(".side", card)) {
    const picture = picturesOf(card)[side.dataset.side];
    const image = find("img", side);
    image.classList.toggle("pixelated", zoom > 1 && clientWidth * zoom > picture.width);
    if (zoom > 1 && !image.dataset.full) {
      image.dataset.full = "asked";
      const full = make("img", { src: picture.href });
      const take = () => { image.src = full.src; image.dataset.full = "shown"; };
      full.decode().then(take, () => { image.dataset.full = "missing"; });
    }
  }
}

function setSplit(card, percent) {
  const rounded = Math.round(clamp(percent, 0, 100));
  find("input[type=range]", card).value = rounded;
  state.splits[cells[card.dataset.cell].name] = rounded;
  find(".stage", card).style.setProperty("--split", `${rounded}%`);
}

function setView(zoom, x, y) {
  const most = 1 - 1 / zoom;
  state.view = { zoom, x: clamp(x, 0, most), y: clamp(y, 0, most) };
  showView();
}

function showView() {
  const { zoom, x, y } = state.view;
  const place = find(".cards");
  place.style.setProperty("--zoom", zoom);
  place.style.setProperty("--left", `${-100 * x * zoom}%`);
  place.style.setProperty("--top", `${-100 * y * zoom}%`);
  place.classList.toggle("zoomed", zoom > 1);
  find("#zoom").textContent = `${Math.round(100 * zoom)} %`;
  near.forEach(sharpen);
}

// Zoom so that the point (u, v) of a stage, each in [0, 1], keeps its place.
function zoomAt(factor, u = 0.5, v = 0.5) {
  const { zoom, x, y } = state.view;
  let next = clamp(zoom * factor, 1, MOST_ZOOM);
  if (next < 1.01) next = 1;
  setView(next, x + u / zoom - u / next, y + v / zoom - v / next);
}

function pan(dx, dy) {
  const { zoom, x, y } = state.view;
  setView(zoom, x + dx / zoom, y + dy / zoom);
}

function placeIn(stage, event) {
  const box = stage.getBoundingClientRect();
  return [(event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height];
}

// The wheel scrolls the page unless a picture was clicked, or Ctrl is held, as a trackpad's pinch also reports.
function onWheel(event) {
  const stage = event.currentTarget;
  const isMeant = event.ctrlKey || event.metaKey || document.activeElement === stage;
  if (!isMeant || (event.deltaY > 0 && state.view.zoom === 1 && !event.ctrlKey)) return;
  event.preventDefault();
  const pixels = event.deltaY * (event.deltaMode === 1 ? 30 : 1);
  zoomAt(Math.exp(-clamp(pixels, -120, 120) * (event.ctrlKey ? 0.01 : 0.003)), ...placeIn(stage, event));
}

function onKey(event) {
  if (event.ctrlKey || event.metaKey || event.altKey || event.target.matches("select")) return;
  const zooms = { "+": 1.5, "=": 1.5, "-": 1 / 1.5, "0": 0 };
  const moves = { ArrowLeft: [-0.1, 0], ArrowRight: [0.1, 0], ArrowUp: [0, -0.1], ArrowDown: [0, 0.1] };
  if (event.key in zooms) zooms[event.key] ? zoomAt(zooms[event.key]) : setView(1, 0, 0);
  else if (event.key in moves && state.view.zoom > 1 && event.target.matches(".stage")) pan(...moves[event.key]);
  else return;
  event.preventDefault();
}

// One pointer drags the line, or the picture when it is zoomed in; two pinch.
function watchPointers(card) {
  const stage = find(".stage", card);
  const pointers = new Map();
  let dragsLine = false;
  let began = null;  // where a drag of the line began, until it is known to be one: a finger may mean to scroll
  stage.addEventListener("pointerdown", (event) => {
    const [u] = placeIn(stage, event);
    const range = find("input[type=range]", card);
    const away = range ? Math.abs(u - range.value / 100) * stage.clientWidth : Infinity;
    dragsLine = range && (state.view.zoom === 1 || away < NEAR);
    began = event;
    pointers.set(event.pointerId, placeIn(stage, event));
    stage.setPointerCapture(event.pointerId);
  });
  stage.addEventListener("pointermove", (event) => {
    const before = pointers.get(event.pointerId);
    if (!before) return;
    const now = placeIn(stage, event);
    if (pointers.size === 2) pinch(pointers, event.pointerId, now);
    else if (dragsLine) {
      if (began && isSideways(began, event)) began = null;
      if (!began) setSplit(card, 100 * now[0]);
    } else pan(before[0] - now[0], before[1] - now[1]);
    pointers.set(event.pointerId, now);
  });
  for (const end of ["pointerup", "pointercancel"]) {
    stage.addEventListener(end, (event) => pointers.delete(event.pointerId));
  }
}

function isSideways(from, to) {
  const [dx, dy] = [Math.abs(to.clientX - from.clientX), Math.abs(to.clientY - from.clientY)];
  return dx > 3 && dx > dy;
}

function pinch(pointers, moved, now) {
  const before = pointers.get(moved);
  const [, still] = [...pointers].find(([id]) => id !== moved);
  const distance = ([u, v]) => Math.hypot(u - still[0], v - still[1]);
  const middle = (point) => [(point[0] + still[0]) / 2, (point[1] + still[1]) / 2];
  pan(middle(before)[0] - middle(now)[0], middle(before)[1] - middle(now)[1]);
  zoomAt(distance(now) / Math.max(distance(before), 0.02), ...middle(now));
}

function setLeft(card, caption) {
  const select = find("[data-left]", card);
  if (!select || ![...select.options].some((option) => option.value === caption)) return;
  select.value = caption;
  state.left[cells[card.dataset.cell].name] = caption;
  if (near.has(card)) fill(card);
}

function startCard(card, observer) {
  if (!cells[card.dataset.cell].pictures.length) return;
  const { name } = cells[card.dataset.cell];
  const range = find("input[type=range]", card);
  if (range) {
    setSplit(card, state.splits[name] ?? 50);
    range.addEventListener("input", () => setSplit(card, Number(range.value)));
    setLeft(card, state.left[name] ?? picturesOf(card).left.caption);
    find("[data-left]", card).addEventListener("change", (event) => setLeft(card, event.target.value));
  }
  find(".stage", card).addEventListener("wheel", onWheel, { passive: false });
  watchPointers(card);
  observer.observe(card);
}

function startPictures() {
  const observer = new IntersectionObserver((entries) => {
    for (const { target, isIntersecting } of entries) {
      if (isIntersecting) { near.add(target); fill(target); } else near.delete(target);
    }
  }, { rootMargin: "300px" });
  for (const card of cards) startCard(card, observer);
  find(".cards").addEventListener("keydown", onKey);
  const factors = { in: 1.5, out: 1 / 1.5, reset: 0 };
  for (const button of all("[data-zoom]")) {
    button.addEventListener("click", () => zoomAt(factors[button.dataset.zoom]));
  }
  startLeftOfAll();
  showView();
}

function startLeftOfAll() {
  const captions = [...new Set(cells.flatMap(({ pictures }) => pictures.slice(0, -1).map(({ caption }) => caption)))];
  const select = find("#left-of-all");
  select.append(...captions.map((caption) => make("option", { textContent: caption })));
  select.closest("label").hidden = captions.length < 2;
  select.addEventListener("change", () => cards.forEach((card) => setLeft(card, select.value)));
}

// ---- Light or dark, and the page that reloads itself.

function showTheme() {
  if (state.theme === "auto") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = state.theme;
  find("#theme").textContent = `colours: ${state.theme}`;
}

function startTheme() {
  const next = { auto: "dark", dark: "light", light: "auto" };
  find("#theme").addEventListener("click", () => { state.theme = next[state.theme]; showTheme(); });
  showTheme();
}

function startWatch() {
  const pause = find("#pause");
  if (!pause) return;
  let touched = -Infinity;
  for (const kind of ["pointerdown", "pointermove", "keydown", "wheel"]) {
    addEventListener(kind, () => { touched = performance.now(); }, { passive: true });
  }
  const show = () => pause.setAttribute("aria-pressed", String(state.paused));
  pause.addEventListener("click", () => { state.paused = !state.paused; show(); });
  show();
  setInterval(() => {  // not while a person is using the page
    if (!state.paused && performance.now() - touched > 1500) location.reload();
  }, 1000 * data.watch);
}

startTheme();
startTable();
startCurves();
startPictures();
showChecked();
showRows();
restorePlaces();
startWatch();
addEventListener("pagehide", remember);
