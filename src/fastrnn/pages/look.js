"use strict";
(async function () {
  const part = name => document.getElementById("look-" + name);
  const root = document.getElementById("look");
  const data = JSON.parse(part("data").textContent);
  const bytes = Uint8Array.from(atob(data.packed), c => c.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
  const codes = new Int8Array(await new Response(stream).arrayBuffer());

  const text = part("text"), panel = part("panel"), legend = part("legend");
  const cells = [...text.children], place = new Map(cells.map((cell, i) => [cell, i]));
  const T = data.read, H = data.series[0].scale.length, reach = data.reach;
  const firstGradient = data.series.length * H * T;
  const now = { mode: "unit", series: data.start[0], unit: data.start[1], held: data.start[2] };

  // ---- what the data say ----
  const code = (position, series = now.series, unit = now.unit) =>
    codes[(series * H + unit) * T + position];
  const value = position => {  // after the symbol was read; null for one that is only predicted
    const series = data.series[now.series];
    return position < T ? series.center + series.scale[now.unit] * code(position) : null;
  };
  const bits = position => position > 0 ? data.bits[position - 1] : null;
  // log10 of the norm of the gradient with respect to a symbol before; NaN where there is none,
  // -Infinity where it is smaller than all that are told apart
  const logNorm = (predicted, back) => {
    if (!reach || predicted < 1 || back < 1 || back > reach.lags) return NaN;
    const stored = codes[firstGradient + (predicted - 1) * reach.lags + back - 1] & 255;
    if (stored < 2) return stored ? -Infinity : NaN;
    return reach.low + (stored - 2) / 253 * (reach.high - reach.low);
  };
  const largestOf = predicted => Math.max(...backOf(predicted).filter(isFinite));
  const backOf = predicted => Array.from({ length: reach.lags }, (_, i) => logNorm(predicted, i + 1));

  // ---- how numbers and symbols are written ----
  const minus = written => written.replace("-", "−");
  const signed = number => {
    const { center, scale } = data.series[now.series];
    const digits = Math.min(6, Math.max(0, Math.ceil(-Math.log10(scale[now.unit]))));
    return (number > 0 && !center ? "+" : "") + minus(number.toFixed(digits));
  };
  const percent = p => (p >= 0.1 ? (100 * p).toFixed(0) : Number((100 * p).toPrecision(2))) + " %";
  const short = number => minus(Number(number.toPrecision(2)).toString());
  const power = log => log > -4 && log < 4 ? String(Number((10 ** log).toPrecision(1)))
    : "10" + [...String(log)].map(c => c === "-" ? "⁻" : "⁰¹²³⁴⁵⁶⁷⁸⁹"[c]).join("");
  const name = position => data.names[data.ids[position]];
  const make = (tag, content = "", className = "") => {
    const made = document.createElement(tag);
    made.append(...[content].flat());
    if (className) made.className = className;
    return made;
  };

  // ---- colours: each a pair of a variable of the style and a number from 0 to 1 ----
  const colours = {
    unit: position => {
      const level = position < T ? code(position) / data.levels : 0;
      return [level < 0 ? "low" : "high", Math.abs(level)];
    },
    surprisal: position => ["more", Math.min((bits(position) ?? 0) / data.uniform, 1)],
    gradient: position => {
      const here = logNorm(now.held, now.held - position);
      return ["more", isFinite(here) ? Math.max(0, 1 + (here - largestOf(now.held)) / 3) : 0];
    },
  };
  function paint() {
    cells.forEach((cell, i) => {
      const [end, part] = colours[now.mode](i);
      cell.style.background = part < 0.004 ? "" :
        `color-mix(in srgb, var(--look-${end}) ${(100 * part).toFixed(1)}%, var(--panel))`;
    });
  }

  // ---- legend and panel ----
  const ramp = (...ends) => {
    const bar = make("span", "", "look-ramp");
    bar.style.background = `linear-gradient(to right, ${ends.join(", ")})`;
    return bar;
  };
  function describe() {
    const series = data.series[now.series];
    if (now.mode === "unit") {
      const largest = series.scale[now.unit] * data.levels;
      const ends = series.center ? ["0", "1"] : [signed(-largest), signed(largest)];
      legend.replaceChildren(
        make("b", `${series.layer}:${series.name}:${now.unit}`), ` ${series.title}: ${ends[0]}`,
        ramp("var(--look-low)", "var(--panel)", "var(--look-high)"),
        ends[1] + (series.center ? "" : ", from minus to plus the largest of this unit"));
      const follows = (data.follows[`${series.layer}:${series.name}`] ?? [])[now.unit];
      if (follows) {
        const [feature, r, after] = follows, sure = Math.abs(r) > data.chance[feature];
        legend.append(`. Most like: ${data.features[feature]}, r\u00a0=\u00a0${minus(r.toFixed(2))}` +
          (sure ? "" : ", which may be chance") +
          (after === null ? "" : `; ${minus(after.toFixed(2))} in the symbols that follow`));
      }
    } else if (now.mode === "surprisal") {
      legend.replaceChildren("surprisal: 0", ramp("var(--panel)", "var(--look-more)"),
        `${data.uniform.toFixed(2)} bits or more, as of a uniform guess among all symbols`);
    } else {
      const largest = largestOf(now.held);
      const norms = largest === -Infinity ? ["none", "none"]
        : [10 ** (largest - 3), 10 ** largest].map(short);
      legend.replaceChildren("gradient of the loss of ", make("b", name(now.held)),
        ` at position ${now.held} with respect to each symbol before it: ${norms[0]} or less`,
        ramp("var(--panel)", "var(--look-more)"), `${norms[1]}, logarithmic. Hold another symbol ` +
        "to see what it depends on.");
    }
  }
  function inspect(position) {
    const symbol = name(position), series = data.series[now.series], lines = [];
    const points = [...symbol].length === 1 && !"␣↵⇥".includes(symbol)
      ? ` U+${symbol.codePointAt(0).toString(16).toUpperCase().padStart(4, "0")}` : "";
    lines.push(make("p", [make("b", symbol), `${points}, position ${position}`]));
    if (value(position) === null) lines.push(make("p", "predicted, but not read: no value"));
    else lines.push(make("p", [`${series.layer}:${series.name}:${now.unit} is `,
      make("b", signed(value(position)), "look-value")]));
    if (now.mode === "gradient") {
      const back = now.held - position, here = logNorm(now.held, back);
      if (!isNaN(here)) lines.push(make("p", ["gradient of ", make("b", name(now.held)),
        `, ${back} on: `, make("b", isFinite(here) ? short(10 ** here)
          : `below ${short(10 ** reach.low)}`, "look-norm")]));
    }
    if (position === 0) lines.push(make("p", "nothing predicts the first symbol"));
    else {
      lines.push(make("p", ["surprisal ", make("b", bits(position).toFixed(2), "look-bits"),
        ` bits, p = ${percent(2 ** -bits(position))}`]), make("p", "likeliest in its place:"));
      lines.push(make("ul", data.likely[position - 1].map((id, i) => {
        const p = data.p[position - 1][i], bar = make("span");
        bar.style.width = `${5 * p}rem`;
        return make("li", [make("b", data.names[id]), make("i", percent(p)), bar]);
      }), "look-likely"));
    }
    panel.replaceChildren(...lines);
  }

  // ---- the chart of gradients ----
  function chart() {
    const svg = part("chart");
    if (!svg || !reach) return;
    const left = 56, right = 10, top = 10, bottom = 40, width = 640, height = 260;
    const own = backOf(now.held), mean = reach.mean.map(Math.log10);
    const all = [...own, ...mean].filter(isFinite);
    if (!all.length) return;
    const low = Math.floor(Math.min(...all)), high = Math.max(low + 1, Math.ceil(Math.max(...all)));
    const x = i => left + (width - left - right) * (reach.lags > 1 ? i / (reach.lags - 1) : 0.5);
    const y = log => top + (high - log) / (high - low) * (height - top - bottom);
    const draw = (tag, attributes, content = "") => {
      const made = document.createElementNS("http://www.w3.org/2000/svg", tag);
      for (const key in attributes) made.setAttribute(key, attributes[key]);
      made.append(content);
      return made;
    };
    const curve = (logs, style) => draw("polyline", { fill: "none", ...style, points: logs.map(
      (log, i) => isFinite(log) ? `${x(i).toFixed(1)},${y(log).toFixed(1)}` : "").join(" ").trim() });
    const parts = [], step = Math.ceil((high - low) / 6);
    for (let log = low; log <= high; log += step) {
      parts.push(draw("line", { x1: left, x2: width - right, y1: y(log), y2: y(log),
        stroke: "var(--line)" }), draw("text", { x: left - 6, y: y(log) + 4,
        "text-anchor": "end" }, power(log)));
    }
    for (let back = 1; back <= reach.lags; back++)
      if (back === 1 || back % 10 === 0 || reach.lags < 10) parts.push(draw("text", {
        x: x(back - 1), y: height - bottom + 18, "text-anchor": "middle" }, String(back)));
    parts.push(draw("text", { x: (left + width - right) / 2, y: height - 6, "text-anchor": "middle" },
      "symbols back from the one that is predicted"),
    curve(mean, { stroke: "var(--series0)", "stroke-width": 1.6, "stroke-dasharray": "6 4" }),
    curve(own, { stroke: "var(--series1)", "stroke-width": 2 }));
    svg.replaceChildren(...parts);
  }

  // ---- controls ----
  const series = part("series"), slider = part("slider"), number = part("unit");
  series.replaceChildren(...data.series.map((each, i) => {
    const option = make("option", `${data.series.at(-1).layer ? `layer ${each.layer}: ` : ""}` +
      `${each.name}, ${each.title}`);
    option.value = i;
    return option;
  }));
  function show(change = {}) {
    Object.assign(now, change);
    series.value = now.series;
    slider.value = number.value = now.unit;
    for (const radio of root.querySelectorAll("[name=look-mode]")) radio.checked = radio.value === now.mode;
    cells.forEach((cell, i) => cell.classList.toggle("look-at", i === now.held));
    paint();
    describe();
    inspect(now.held);
    chart();
  }
  const inRange = (n, count) => (n % count + count) % count;
  series.addEventListener("change", () => show({ mode: "unit", series: Number(series.value) }));
  for (const field of [slider, number]) field.addEventListener("input", () => {
    const unit = Math.round(Number(field.value));
    if (field.value !== "" && unit >= 0 && unit < H) show({ mode: "unit", unit });
  });
  for (const radio of root.querySelectorAll("[name=look-mode]"))
    radio.addEventListener("change", () => show({ mode: radio.value }));
  root.addEventListener("click", event => {
    const button = event.target.closest("[data-unit]");
    if (!button) return;
    const [layer, value, unit] = button.dataset.unit.split(":");
    show({ mode: "unit", unit: Number(unit), series: data.series.findIndex(
      each => each.layer === Number(layer) && each.name === value) });
    text.scrollIntoView({ block: "nearest" });
  });
  const pointed = event => {
    let cell = event.target;
    while (cell && cell.parentElement !== text) cell = cell.parentElement;
    return place.get(cell);
  };
  text.addEventListener("pointerover", event => {
    const position = pointed(event);
    if (position !== undefined) inspect(position);
  });
  text.addEventListener("pointerleave", () => inspect(now.held));
  text.addEventListener("click", event => {
    const position = pointed(event);
    if (position !== undefined) show({ held: position });
  });
  root.addEventListener("keydown", event => {
    const tag = event.target.tagName, kind = event.target.type;
    const [unit, other] = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1],
      ArrowDown: [0, 1] }[event.key] ?? [0, 0];
    const own = tag === "SELECT" || tag === "INPUT" && !(kind === "range" && other);
    if (own || !(unit || other) || event.ctrlKey || event.altKey || event.metaKey) return;
    event.preventDefault();
    if (event.shiftKey) show({ held: inRange(now.held + unit, cells.length) });
    else show({ mode: "unit", unit: inRange(now.unit + unit, H),
      series: inRange(now.series + other, data.series.length) });
    if (event.shiftKey) cells[now.held].scrollIntoView({ block: "nearest" });
  });
  show();
  root.dataset.ready = "yes";
})();
