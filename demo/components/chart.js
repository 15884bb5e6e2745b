// A small SVG chart: curves or dots. The value says how far axes go, so they never move by themselves.
grpo.plot = (home, value) => {
  if (!home.plotted) new ResizeObserver(() => grpo.plot(home, home.plotted)).observe(home);
  home.plotted = value;
  const { series, x, y, y: { min = 0 } } = value;
  const em = parseFloat(getComputedStyle(home).fontSize);
  const [W, H] = [home.clientWidth, home.clientHeight];
  const [L, R, T, B] = [3.6, 1.2, 2.1, 2.6].map((size) => size * em);
  if (!W || !H) return; // in a tab that is not open
  const svg = (tag, attributes, text) => {
    const node = document.createElementNS("http://www.w3.org/2000/svg", tag);
    for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
    if (text !== undefined) node.textContent = text;
    return node;
  };
  const px = (v) => L + (W - L - R) * Math.min(1, v / x.max);
  const py = (v) => H - B - (H - B - T) * Math.max(0, Math.min(1, (v - min) / (y.max - min)));
  const ticks = (max, min = 0) => { // 1, 2 or 5 times a power of ten apart, three to five of them
    const rough = (max - min) / 4;
    const power = 10 ** Math.floor(Math.log10(rough));
    const step = [1, 2, 5, 10].map((k) => k * power).find((k) => k >= rough * 0.999);
    return Array.from({ length: Math.floor((max - min) / step + 1.001) }, (_, i) => min + i * step);
  };
  const word = (v, max, percent) => (percent ? `${Math.round(100 * v)} %` : max >= 1000
    ? v.toLocaleString("en") : String(Number(v.toPrecision(3))));
  const chart = svg("svg", { viewBox: `0 0 ${W} ${H}`, role: "img",
    "aria-label": `${y.label} over ${x.label}` });
  for (const v of ticks(y.max, min)) {
    chart.append(svg("line", { x1: L, x2: W - R, y1: py(v), y2: py(v), class: "rule" }),
      svg("text", { x: L - em / 2, y: py(v) + em / 3, "text-anchor": "end" }, word(v, y.max, y.percent)));
  }
  for (const v of ticks(x.max)) chart.append(svg("text",
    { x: px(v), y: H - B + 1.2 * em, "text-anchor": "middle" }, word(v, x.max)));
  const under = { x: (L + W) / 2, y: H - em / 4, "text-anchor": "middle", class: "axis" };
  chart.append(svg("text", under, x.label), svg("text", { x: 2, y: em, class: "axis" }, y.label));
  for (const one of series.filter(({ points }) => points.length)) {
    const line = one.points.map((p, i) =>
      `${i ? "L" : "M"}${px(p[0]).toFixed(1)} ${py(p[1]).toFixed(1)}`).join("");
    if (one.points.length > 1) chart.append(svg("path",
      { d: line, stroke: one.colour, "stroke-dasharray": one.dash || "none", class: "curve" }));
    const last = one.points[one.points.length - 1];
    chart.append(svg("circle", { cx: px(last[0]), cy: py(last[1]), r: em / 3, fill: one.colour }));
  }
  home.replaceChildren(chart);
};

grpo.chart = (element, props, watch) =>
  grpo.follow(props, watch, (value) => grpo.plot(element.querySelector(".chart"), value));
