// Small charts as SVG, drawn from numbers: bars for probabilities, lines for curves.
window.grpo.charts = (() => {
  const NS = "http://www.w3.org/2000/svg";
  const { make } = window.grpo;

  function svg(tag, attributes = {}, ...children) {
    const node = document.createElementNS(NS, tag);
    for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
    node.append(...children);
    return node;
  }

  // Ten bars, one a digit, made once and then only moved. `series` are [name, class]: one bar each, beside each other.
  function belief(root, series, label) {
    const rows = Array.from({ length: 10 }, (_, k) => {
      const bars = series.map(([, style]) => make("i", { class: style }));
      const value = make("span", { class: "value" });
      return { node: make("div", { class: "bar" }, make("b", {}, String(k)), make("span", { class: "track" }, ...bars), value), bars, value };
    });
    root.replaceChildren(...rows.map((row) => row.node));
    root.setAttribute("role", "group");
    root.setAttribute("aria-label", label);
    return (digit, ...shares) => {
      rows.forEach((row, k) => {
        row.bars.forEach((bar, i) => { bar.style.transform = `scaleX(${shares[i][k]})`; });
        row.value.textContent = shares.map((share) => (100 * share[k]).toFixed(0)).join(" / ");
        row.node.classList.toggle("asked", k === digit);
      });
    };
  }

  // The distribution over the values of the token in hand: filled bars for the policy, outlines for the reference.
  function distribution(root, count) {
    const bars = Array.from({ length: count }, (_, k) => {
      const x = k * 20 + 2;
      const own = svg("rect", { x, width: 16, y: 100, height: 0, class: "own" });
      const reference = svg("rect", { x: x - 1, width: 18, y: 100, height: 0, class: "reference" });
      const swatch = svg("rect", { x, width: 16, y: 104, height: 12, class: "swatch" });
      const text = svg("text", { x: x + 8, y: 128, "text-anchor": "middle" });
      return { own, reference, swatch, text };
    });
    const chart = svg("svg", { viewBox: `0 0 ${count * 20} 132`, role: "img" },
      ...bars.flatMap((bar) => Object.values(bar)));
    root.replaceChildren(chart);
    return ({ values, probs, reference, chosen, vocabulary, codes }) => {
      const most = Math.max(...probs, ...reference, 0.02);
      bars.forEach((bar, k) => {
        for (const [node, share] of [[bar.own, probs[k]], [bar.reference, reference[k]]]) {
          node.setAttribute("height", (96 * share / most).toFixed(1));
          node.setAttribute("y", (100 - 96 * share / most).toFixed(1));
        }
        bar.own.classList.toggle("chosen", values[k] === chosen);
        const level = Math.round(255 * values[k] / (vocabulary - 1));
        bar.swatch.setAttribute("fill", codes ? "none" : `rgb(${level},${level},${level})`);
        bar.text.textContent = codes ? values[k] : (k % 5 ? "" : values[k]);
      });
      chart.setAttribute("aria-label", `Policy's probabilities: the drawn value ${chosen} had ${(100 * (probs[values.indexOf(chosen)] ?? 0)).toFixed(0)} percent`);
    };
  }

  // Lines over a common x. series: [{name, colour, dash, points: [[x, y], ...]}]; marks: [{name, x}], vertical reference lines.
  function lines(root, { series, marks = [], x, y, low = 0, high = null, right = null, label }) {
    const [W, H, L, B, T] = [460, 220, 46, 34, 22];
    const points = series.flatMap((one) => one.points);
    const top = high ?? Math.max(1e-6, ...points.map((p) => p[1]));
    const wide = right ?? Math.max(1e-6, ...points.map((p) => p[0]));
    const px = (value) => L + (W - L - 10) * Math.min(1, value / wide);
    const py = (value) => H - B - (H - B - T) * (Math.max(low, Math.min(top, value)) - low) / (top - low);
    const chart = svg("svg", { viewBox: `0 0 ${W} ${H}`, role: "img", "aria-label": label, class: "lines" });
    for (let i = 0; i <= 4; i++) {
      const value = low + (top - low) * i / 4;
      chart.append(svg("line", { x1: L, x2: W - 10, y1: py(value), y2: py(value), class: "rule" }));
      const text = svg("text", { x: L - 6, y: py(value) + 4, "text-anchor": "end" });
      text.textContent = top <= 1 ? (100 * value).toFixed(0) + "%" : value.toFixed(top < 5 ? 1 : 0);
      chart.append(text);
    }
    for (let i = 0; i <= 4; i++) {
      const text = svg("text", { x: px(wide * i / 4), y: H - B + 16, "text-anchor": i === 4 ? "end" : "middle" });
      const value = wide * i / 4;
      text.textContent = value >= 1000 ? `${(value / 1000).toFixed(value >= 10000 ? 0 : 1)}k` : value.toFixed(wide < 10 ? 1 : 0);
      chart.append(text);
    }
    const names = [[x, (L + W) / 2, H - 4, "middle"], [y, L, T - 8, "start"]];
    for (const [words, at, down, anchor] of names) {
      const text = svg("text", { x: at, y: down, "text-anchor": anchor, class: "axis" });
      text.textContent = words;
      chart.append(text);
    }
    for (const mark of marks) {
      chart.append(svg("line", { x1: px(mark.x), x2: px(mark.x), y1: T, y2: H - B, class: "mark" }));
      const text = svg("text", { x: px(mark.x) + 4, y: H - B - 6, class: "axis" });
      text.textContent = mark.name;
      chart.append(text);
    }
    for (const one of series) {
      if (!one.points.length) continue;
      const path = one.points.map((p, i) => `${i ? "L" : "M"}${px(p[0]).toFixed(1)} ${py(p[1]).toFixed(1)}`).join("");
      chart.append(svg("path", { d: path, stroke: one.colour, "stroke-dasharray": one.dash || "none", class: "curve" }));
      const last = one.points[one.points.length - 1];
      chart.append(svg("circle", { cx: px(last[0]), cy: py(last[1]), r: 4, fill: one.colour }));
    }
    root.replaceChildren(chart, make("p", { class: "legend" }, ...series.map((one) => {
      const key = make("span", { class: "key" }, make("i", { style: `border-top:3px ${one.dash ? (one.dash === "2 4" ? "dotted" : "dashed") : "solid"} ${one.colour}` }), one.name);
      return key;
    })));
  }

  return { belief, distribution, lines };
})();
