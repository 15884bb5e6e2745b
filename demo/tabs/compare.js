// Compare: random, start, REINFORCE and GRPO with the same random numbers, players in step, and a larger live sample of each.
window.grpo.views.compare = ({ find, ask, data }) => {
  const { digits, gallery, heat, make, onRecipe, paint, percent, Player, remember, same, state } = window.grpo;
  const request = { task: state.task, digit: state.digit, seed: state.seed };
  const columns = Array.from({ length: 4 }, () => {
    const parts = { title: make("h2", {}, "\u00a0"), hero: make("div", { class: "small-hero" }), samples: make("div", { class: "samples" }),
      success: make("p", { class: "figure" }, "\u00a0"), more: make("p", { class: "caption" }, "\u00a0"),
      map: make("canvas", { class: "map pending", width: 8, height: 8, role: "img", "aria-label": "KL at each token" }), total: make("p", { class: "caption" }, "\u00a0") };
    parts.node = make("section", { class: "column" }, ...["title", "hero", "success", "more", "samples", "map", "total"].map((name) => parts[name]));
    parts.player = new Player(parts.hero, { buttons: false });
    return parts;
  });
  find(".columns").append(...columns.map((column) => column.node));

  digits(find(".choices"), "compare-digit", request.digit, (digit) => change({ digit }));
  find(".task").value = request.task;
  find(".task").addEventListener("change", () => change({ task: find(".task").value }));
  find(".seed").value = request.seed;
  find(".seed").addEventListener("change", () => change({ seed: Number(find(".seed").value) }));
  find(".replay").addEventListener("click", () => columns.forEach((column) => { column.player.seek(0); column.player.play(true); }));
  find("form").addEventListener("submit", (event) => {
    event.preventDefault();
    change({ seed: request.seed >= 2147483647 ? 0 : request.seed + 1 });
    find(".seed").value = request.seed;
  });

  function change(part) {
    Object.assign(request, part);
    remember({ ...part, tab: "compare" });
    draw();
  }

  function show(found) {
    found.policies.forEach((one, i) => {
      const column = columns[i];
      column.node.style.setProperty("--policy", one.colour);
      column.title.textContent = one.title;
      column.player.load(one.trajectory);
      gallery(column.samples, { ...one, digit: found.digit, size: found.size }, { label: `${one.title}, sample` });
    });
  }

  const most = { value: 0 };
  function tell(i, one) {
    const column = columns[i];
    column.map.classList.toggle("pending", !one); // else the last question's map would stand under new pictures
    if (!one) {
      column.success.textContent = column.more.textContent = column.total.textContent = "\u00a0";
      return;
    }
    column.success.replaceChildren(make("b", {}, percent(one.right / one.count, 0)), ` success (${(100 * one.interval[0]).toFixed(0)} to ${percent(one.interval[1], 0)})`);
    column.more.textContent = `n = ${one.count}; mean reward ${one.reward.toFixed(3)}; spread ${one.spread.toFixed(3)}`;
    most.value = Math.max(most.value, ...one.kl);
    column.kl = one.kl;
    columns.forEach((other) => {
      if (other.kl) paint(other.map, other.kl.map((nats) => 255 * Math.sqrt(nats / (most.value || 1))), one.grid, heat);
    });
    column.total.textContent = `${one.total.toFixed(2)} nats of KL to its start`;
  }

  async function draw() {
    const found = await ask("compare", { ...request, recipe: state.recipe });
    if (!found) return;
    show(found);
    most.value = 0;
    columns.forEach((column, i) => { column.kl = null; tell(i, null); });
    for (const [i, one] of found.policies.entries()) {
      const live = await ask("survey", { policy: one.policy, digit: request.digit, seed: request.seed, recipe: state.recipe }, false);
      if (!live) return; // another question has come
      tell(i, live);
    }
  }

  const recorded = data.recorded.compare;
  if (same(recorded, request)) {
    show(recorded);
    data.recorded.surveys.forEach((one, i) => tell(i, one));
  } else draw();
  onRecipe(draw);
};
