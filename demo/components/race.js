// Runs side by side over one training, always at the same number of samples. A slider goes back to any step.
grpo.race = (element, props, watch, trigger, { name }) => {
  const { make } = grpo;
  const home = element.querySelector(".race");
  const status = make("p", { class: "status", role: "status" });
  const columns = make("div", { class: "racers" });
  const charts = make("div", { class: "charts" });
  const scrub = make("input", { type: "range", min: 0, max: 0, value: 0,
    "aria-label": "Step of the training" });
  const replay = make("button", { type: "button", title: "Replay", "aria-label": "Replay the training",
    onclick: play }, "▶");
  const step = make("span", { class: "where" });
  home.replaceChildren(status, columns, make("div", { class: "keys" }, replay, scrub, step), charts);
  let now = null, points = [], parts = [], timer = null, following = true, state = "";
  const past = new Set(); // keys of what was shown before

  scrub.addEventListener("input", () => {
    stop();
    following = Number(scrub.value) === points.length - 1;
    show(Number(scrub.value));
  });

  function stop() {
    clearInterval(timer);
    timer = null;
    replay.textContent = "▶";
  }
  function play() {
    if (timer) return stop();
    replay.textContent = "❙❙";
    let at = Number(scrub.value) >= points.length - 1 ? 0 : Number(scrub.value);
    const stride = Math.max(1, Math.round(points.length / 80));
    timer = setInterval(() => {
      show(at);
      if (at >= points.length - 1) return stop();
      at = Math.min(points.length - 1, at + stride);
    }, 90);
  }

  function open(value) {
    if (now) past.add(now.key);
    now = value;
    points = [];
    stop();
    following = true;
    columns.style.setProperty("--racers", value.racers.length);
    parts = value.racers.map(({ title, colour, says }) => {
      const part = { share: make("strong"), kl: make("span"), wall: make("div",
        { class: "grid", role: "img", "aria-label": `Samples of ${title}` }) };
      part.node = make("section", { style: `--run:${colour}` }, make("h3", {}, title),
        make("p", { class: "says" }, says),
        make("p", { class: "numbers" }, part.share, part.kl), make("div", { class: "room" }, part.wall));
      grpo.cells(part.wall, value.wall); // empty until something is drawn
      return part;
    });
    columns.replaceChildren(...parts.map((part) => part.node));
    const key = make("p", { class: "legend" },
      ...value.racers.map(({ title, colour }) =>
        make("span", {}, make("i", { style: `background:${colour}` }), title)));
    const plots = [make("div", { class: "chart" }), make("div", { class: "chart" })];
    // where the reward is not the usual one, the second chart shows a term of it, or the KL
    const names = [...(value.terms || []), "kl"];
    const choices = names.map((name) => make("option", { value: name }, label(name)));
    const choice = make("select", { "aria-label": "What the second chart shows", hidden: !value.terms,
      onchange: () => show(Number(scrub.value)) }, ...choices);
    charts.replaceChildren(plots[0], choice, plots[1], key);
    Object.assign(parts, { plots, choice });
  }

  const label = (name) => (name === "kl" ? "KL: nats moved from its start" : name.replaceAll("_", " "));

  // Whose samples are shown at a step: its own, or where a recording kept only some steps, the last of these.
  function drawnAt(racer, at) {
    while (at > 0 && !points[at].racers[racer].frame) at--;
    return at;
  }

  function show(at) {
    const point = points[at]; // there is none before the first step
    step.textContent = !point ? ""
      : `step ${point.step + 1} of ${now.steps} · ${point.samples.toLocaleString("en")} samples each`;
    Object.assign(scrub, { max: Math.max(0, points.length - 1), value: at, ariaValueText: step.textContent });
    parts.forEach((part, i) => {
      if (!point) return;
      const { success, kl, reward, twins } = point.racers[i];
      part.share.replaceChildren(Math.round(100 * success), make("small", {}, " %"));
      const then = drawnAt(i, at);
      const drawn = points[then].racers[i].frame;
      part.kl.textContent = `right, by the judge\nmoved ${kl.toFixed(1)} nats`
        + (twins === undefined ? "" : `\nreward ${reward.toFixed(2)}, ${twins} near-twins`)
        + (!drawn ? "\nno samples recorded" : then === at ? "" : `\nsamples of step ${points[then].step + 1}`);
      if (drawn && part.drawn !== drawn) {
        part.drawn = drawn;
        grpo.cells(part.wall, { ...now.wall, ...drawn });
      }
    });
    const x = { label: "samples", max: now.most_samples };
    const plot = (home, of, y) => grpo.plot(home, { x, y, series: now.racers.map(({ colour }, i) => (
      { colour, points: points.slice(0, at + 1).map((p) => [p.samples, of(p.racers[i])]) })) });
    const [first, second] = parts.plots;
    plot(first, ({ success }) => success, { label: "success, by the judge", max: 1, percent: true });
    const chosen = parts.choice.value;
    if (chosen !== "kl") return plot(second, ({ terms }) => terms[chosen], { label: label(chosen), max: 1 });
    const most = Math.max(1, ...points.flatMap((p) => p.racers.map((racer) => racer.kl)));
    plot(second, ({ kl }) => kl,
      { label: label("kl"), max: [1, 10, 20, 50, 100, 200, 500].find((k) => k >= most) || most });
  }

  let recorded = null; // and asked for last: asking again does not bring it back over a live run
  grpo.follow(props, watch, (value) => {
    if (value.state === "recorded") {
      const again = recorded === value.key && !value.anew;
      recorded = value.key;
      if (again && now.key === value.key) status.textContent = value.says;
      if (again || !grpo.run(name).over) return;
    }
    if (past.has(value.key) && value.state !== "recorded") return; // late news of what was replaced
    if (value.racers && (!now || value.key !== now.key)) open(value);
    const textContent = [value.says, now && value.key === now.key && now.paid].filter(Boolean).join(" ");
    Object.assign(status, { textContent, ariaLive: value.state === "running" ? "off" : "polite" });
    if (value.state === "lost") grpo.news(name, value.key, 0, true); // so that it is not asked for again
    if (!now || value.key !== now.key) return;
    if (state === "paused" && value.state === "running") following = true; // whatever was looked at meanwhile
    state = value.state;
    const known = points.length;
    if (value.from <= known) points.push(...value.points.slice(known - value.from));
    if (value.state !== "recorded") grpo.news(name, value.key, points.length, value.over);
    if (following && !timer) show(points.length - 1);
    if (value.state === "recorded" && !known && !grpo.still.matches) play();
  });
};
