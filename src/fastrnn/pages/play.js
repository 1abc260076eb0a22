// ---- the page ----

const byId = (id) => document.getElementById(id);
const DATA = JSON.parse(byId("model").textContent);
const network = new Network(DATA), vocabulary = new Vocabulary(DATA.vocabulary);
const HIDDEN = new RegExp(DATA.hidden, "gu");  // what is written out, as by fastrnn/html.py
const FRAME = 30;  // milliseconds of writing between two pictures
const UNITS = {char: "characters", byte: "bytes", word: "words"}[vocabulary.unit];

let writer = null;  // of what is being written
let seed = 0;
let running = false, done = 0;  // symbols since the last button
let pace = {since: 0, done: 0};  // when the speed was chosen, in milliseconds, and `done` then
let left = 0, records = 0;  // symbols left of the text or record, and records after it
let most = 1;  // the end of the scale of hidden units

// ---- texts as they are shown ----

function written(symbol) {
  const code = symbol.codePointAt(0).toString(16);
  return code.length < 3 ? `\\x${code.padStart(2, "0")}` : `\\u${code.padStart(4, "0")}`;
}

// Append a text as text, whatever is in it.
function append(element, text, kind = "") {
  let end = 0;
  const add = (part, name) => {
    if (part === "") return;
    const last = element.lastChild;
    if (!name && last && last.nodeType === Node.TEXT_NODE) {
      last.appendData(part);
    } else if (!name) {
      element.append(part);
    } else {
      const span = document.createElement("span");
      span.className = name;
      span.textContent = part;
      element.append(span);
    }
  };
  for (const found of text.matchAll(HIDDEN)) {
    add(text.slice(end, found.index), kind);
    add(written(found[0]), "hidden-symbol");
    end = found.index + found[0].length;
  }
  add(text.slice(end), kind);
}

function say(text, wrong = false) {
  byId("status").textContent = "";
  byId("status").className = wrong ? "wrong" : "";
  append(byId("status"), text);
}

// ---- settings ----

const number = (id) => Number(byId(id).value || 0);

// The weight of each label, which sum to 1; null for a model without labels.
function labelWeights() {
  if (!DATA.labels) return null;
  const chosen = byId("label").value;
  if (chosen !== "mixture") return Float64Array.from(DATA.labels, (_, i) => Number(i === +chosen));
  const weights = Float64Array.from(document.querySelectorAll(".weight"), (input) => +input.value);
  const sum = weights.reduce((a, b) => a + b, 0);
  if (!(sum > 0)) throw new Error("A mixture of labels needs a weight above 0.");
  return weights.map((weight) => weight / sum);
}

function readSliders() {  // also while it writes
  byId("degrees").textContent = number("temperature").toFixed(2);
  if (writer) Object.assign(writer.settings, {temperature: number("temperature"),
    topK: number("topk")});
}

// ---- writing ----

function write() {
  stop();
  try {
    seed = byId("seed").value === "" ? crypto.getRandomValues(new Uint32Array(1))[0]
      : number("seed");
    writer = new Writer(network, vocabulary, DATA.starts, {prime: byId("prime").value,
      labels: labelWeights(), random: randomNumbers(seed)});
  } catch (error) {
    writer = null;
    say(error.message, true);
    return;
  }
  byId("text").textContent = "";
  most = 1;
  append(byId("text"), vocabulary.before(writer.settings.prime), "given");
  left = 0;
  more(true);
}

// Go on: a text by as many symbols again, records by as many more.
function more(first = false) {
  if (!writer) {
    byId("form").requestSubmit();
    return;
  }
  if (!byId("form").reportValidity()) return;
  readSliders();
  if (vocabulary.records && !first) {
    records += number("count");
  } else {
    left += number("length");
    records = vocabulary.records ? number("count") - 1 : 0;
  }
  if (running) return;
  [running, done] = [true, 0];
  setPace();
  byId("stop").disabled = false;
  say("Writing");
  requestAnimationFrame(frame);
}

function setPace() {
  pace = {since: performance.now(), done};
}

function stop() {
  if (!running) return;
  [running, records] = [false, 0];
  if (!vocabulary.records) left = 0;  // a record is ended by what comes next
  const whole = (x) => Math.round(x).toLocaleString("en");
  const rate = ((done - pace.done) / (performance.now() - pace.since)) * 1000;
  say(`${whole(done)} ${UNITS}${number("speed") ? "" : `, ${whole(rate)} a second`}; seed ${seed}`);
  if (document.activeElement === byId("stop")) byId("more").focus();
  byId("stop").disabled = true;
}

// The next symbol, and where a record ends the beginning of the next one.
function step() {
  if (left <= 0 && records > 0) {
    append(byId("text"), "\n");
    append(byId("text"), vocabulary.before(writer.settings.prime), "given");
    records--;
    left = number("length");
    writer.begin();
  }
  const text = writer.next();
  done += Number(!writer.ended);
  left = writer.ended ? 0 : left - 1;
  return text;
}

function frame(now) {
  if (!running) return;
  const speed = number("speed"), box = byId("text");
  const due = speed ? pace.done + ((now - pace.since) * speed) / 1000 : Infinity;
  const end = performance.now() + FRAME;
  const below = box.scrollHeight - box.scrollTop - box.clientHeight < 40;
  let piece = "";
  while ((left > 0 || records > 0) && done < due && performance.now() < end) {
    if (left <= 0) {
      append(box, piece);
      piece = "";
    }
    piece += step();
  }
  append(box, piece);
  if (below) box.scrollTop = box.scrollHeight;
  draw();
  if (left > 0 || records > 0) {
    requestAnimationFrame(frame);
  } else {
    stop();
  }
}

// ---- hidden units ----

// From dark blue (low) over grey to yellow (high): lighter and lighter, so that it is read in grey
// and by the colour-blind.
const STOPS = [[0, 32, 77], [124, 123, 120], [255, 234, 70]];
const COLOURS = Array.from({length: 256}, (_, i) => {
  const at = (i / 255) * 2, k = Math.min(1, Math.floor(at));
  return `rgb(${STOPS[k].map((low, c) => Math.round(low + (at - k) * (STOPS[k + 1][c] - low)))})`;
});

const GAP = 3; // of the canvas, which a page draws at a third of its size or more

// A grid of units for each layer, each with the unit that is pointed at (-1: none).
const GRIDS = network.layers.map((layer, l) => {
  const H = layer.h.length, columns = Math.min(H, Math.ceil(Math.sqrt(2 * H)));
  const canvas = document.createElement("canvas"), caption = document.createElement("figcaption");
  const figure = document.createElement("figure"), cell = Math.max(3, Math.floor(900 / columns));
  const grid = {h: layer.h, columns, cell, canvas, caption, unit: -1,
    name: network.layers.length > 1 ? `Layer ${l + 1}: ` : ""};
  canvas.width = columns * cell;
  canvas.height = Math.ceil(H / columns) * cell;
  canvas.tabIndex = 0;
  canvas.setAttribute("role", "img");
  canvas.setAttribute("aria-label",
    `Hidden state of layer ${l + 1}, ${H} units; arrow keys choose one`);
  const choose = (unit) => {
    grid.unit = Math.min(Math.max(unit, 0), H - 1);
    drawGrid(grid);
  };
  canvas.addEventListener("pointermove", (event) => {
    const scale = canvas.width / canvas.clientWidth / cell;
    choose(Math.floor(event.offsetY * scale) * columns
      + Math.min(columns - 1, Math.floor(event.offsetX * scale)));
  });
  canvas.addEventListener("keydown", (event) => {
    const by = {ArrowLeft: -1, ArrowRight: 1, ArrowUp: -columns, ArrowDown: columns}[event.key];
    if (!by) return;
    event.preventDefault();
    choose(grid.unit < 0 ? 0 : grid.unit + by);
  });
  figure.append(canvas, caption);
  byId("layers").append(figure);
  return grid;
});

function drawGrid({h, columns, cell, canvas, caption, unit, name}) {
  const context = canvas.getContext("2d"), gap = cell > 8 ? GAP : 0;
  context.clearRect(0, 0, canvas.width, canvas.height);
  const corner = (j) => [(j % columns) * cell, Math.floor(j / columns) * cell];
  for (let j = 0; j < h.length; j++) {
    const shade = Math.round(127.5 * (1 + h[j] / most));
    context.fillStyle = COLOURS[Math.min(255, Math.max(0, shade))];
    context.fillRect(...corner(j), cell - gap, cell - gap);
  }
  caption.textContent = `${name}${h.length.toLocaleString("en")} units`;
  if (unit >= 0) {
    const [x, y] = corner(unit), wide = Math.max(2, cell / 8);
    context.lineWidth = wide;
    context.strokeStyle = getComputedStyle(canvas).color;
    context.strokeRect(x + wide / 2, y + wide / 2, cell - wide, cell - wide);
    caption.textContent += `; unit ${unit + 1} is ${h[unit].toFixed(3).replace("-", "−")}`;
  }
}

function draw() {
  if (!network.cell.bounded) {
    for (const {h} of GRIDS) most = h.reduce((a, b) => Math.max(a, Math.abs(b)), most);
  }
  GRIDS.forEach(drawGrid);
  byId("least").textContent = `−${+most.toPrecision(3)}`;
  byId("most").textContent = `${+most.toPrecision(3)}`;
  drawLikeliest();
}

// ---- the symbol that came last, among the likeliest ----

function drawLikeliest() {
  const list = byId("next"), p = writer && writer.scored ? softmax(network.scores) : [];
  const ranked = [];
  for (let id = 0; id < p.length; id++) {
    let at = ranked.length;
    while (at > 0 && p[ranked[at - 1]] < p[id]) at--;
    if (at < 5) ranked.splice(at, 0, id);
    if (ranked.length > 5) ranked.pop();
  }
  if (ranked.length && !ranked.includes(writer.last)) ranked.push(writer.last);
  list.textContent = "";
  for (const id of ranked) {
    const item = document.createElement("li"), symbol = document.createElement("span");
    const bar = document.createElement("span"), value = document.createElement("span");
    const ends = vocabulary.records && id === vocabulary.stop;
    append(symbol, ends ? "(end)" : vocabulary.name(vocabulary.symbols[id]));
    bar.className = "bar";
    bar.style.setProperty("--p", p[id]);
    value.textContent = `${(100 * p[id]).toFixed(1)} %`;
    if (id === writer.last) {
      item.className = "chosen";
      item.setAttribute("aria-current", "true");
    }
    item.append(symbol, bar, value);
    list.append(item);
  }
}

// ---- controls ----

byId("form").addEventListener("submit", (event) => {
  event.preventDefault();
  write();
});
byId("more").addEventListener("click", () => more());
byId("stop").addEventListener("click", stop);
byId("speed").addEventListener("change", setPace);
byId("temperature").addEventListener("input", readSliders);
byId("topk").addEventListener("input", readSliders);
byId("prime").addEventListener("keydown", (event) => {
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) byId("form").requestSubmit();
});
document.addEventListener("keydown", (event) => {
  if (event.key === "Escape") stop();
});
if (byId("mixture")) {
  byId("label").addEventListener("change", () => {
    byId("mixture").hidden = byId("mixture").disabled = byId("label").value !== "mixture";
  });
}
if (matchMedia("(prefers-reduced-motion: reduce)").matches) byId("speed").value = "0";
draw();
