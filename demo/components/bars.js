// Bars: what the classifier believes, and what the policy may draw next.
grpo.rows = (home, digit, series) => { // series: [[title, colour, ten shares], ...]
  const { make, percent } = grpo;
  if (!home.childElementCount) {
    home.replaceChildren(...Array.from({ length: 10 },
      (_, k) => make("div", { class: "share" }, make("b", {}, String(k)),
      make("span", { class: "track" }, ...series.map(([, colour]) =>
        make("i", { style: `background:${colour}` }))), make("span", { class: "figure" }))));
  }
  [...home.children].forEach((row, k) => {
    row.classList.toggle("asked", k === digit);
    row.querySelectorAll("i").forEach((bar, i) => { bar.style.transform = `scaleX(${series[i][2][k]})`; });
    row.lastChild.textContent = series.map(([, , shares]) => percent(shares[k])).join(" · ");
  });
};

grpo.beliefs = (element, props, watch, trigger, { follows }) => {
  const { make, bytes } = grpo;
  const home = element.querySelector(".beliefs");
  const rows = make("div", { class: "rows", role: "img",
    "aria-label": "How sure the networks are of each digit" });
  const legend = make("p", { class: "legend" });
  home.replaceChildren(rows, legend);
  if (follows) document.addEventListener("grpo:step", ({ detail: { name, t, path } }) => {
    if (name === follows) grpo.rows(rows, path.digit,
      [["classifier", "#0072B2", Array.from(bytes(path.belief).subarray(10 * t, 10 * t + 10),
        (p) => p / 255)]]);
  });
  grpo.follow(props, watch, (value) => {
    grpo.rows(rows, value.digit, value.series);
    legend.replaceChildren(...value.series.map(([title, colour]) =>
      make("span", {}, make("i", { style: `background:${colour}` }), title)));
  });
};

// Filled bars: the policy. Outlines: the start, before RL. Under each, what it would put there: a gray or
// a code's picture.
grpo.distribution = (element, props, watch, trigger, { follows }) => {
  const { make, bytes } = grpo;
  const home = element.querySelector(".distribution");
  const caption = make("p", { class: "legend" });
  const bars = make("div", { class: "values", role: "img", "aria-label": "Probabilities of the next token" });
  home.replaceChildren(bars, caption);
  document.addEventListener("grpo:step", ({ detail: { name, t, path } }) => {
    if (name !== follows) return;
    const k = Math.min(t, path.log_probs.length - 1);
    const part = (text) => Array.from(bytes(text).subarray(k * path.bars, (k + 1) * path.bars));
    const [values, own, before] = [part(path.values), part(path.probs), part(path.reference_probs)];
    const most = Math.max(...own, ...before, 1);
    const chosen = bytes(path.tokens)[k];
    const gray = (v) => Math.round(255 * v / (path.vocabulary - 1));
    const code = (v) => `${100 * (v % 16) / 15}% ${100 * Math.floor(v / 16) / 7}%`; // its place among 16 x 8
    const look = (v) => (path.codes
      ? `background:url(${path.codes}) ${code(v)} / 1600% 800%`
      : `background:rgb(${gray(v)},${gray(v)},${gray(v)})`);
    bars.replaceChildren(...values.map((v, i) => make("div", { class: v === chosen ? "bar chosen" : "bar" },
      make("i", { style: `height:${100 * own[i] / most}%` }),
      make("u", { style: `height:${100 * before[i] / most}%` }),
      make("s", { style: look(v) }))));
    const chance = grpo.percent(Math.exp(path.log_probs[k]));
    bars.setAttribute("aria-label", `Probabilities of the next token; the one drawn had ${chance}`);
    const order = path.codes ? "the most probable codes first" : "black to white";
    const place = `Token ${k + 1} of ${path.log_probs.length}: ${order}.`;
    caption.textContent = `${place} Filled: this policy. Outline: its start. Orange: drawn.`;
  });
};
