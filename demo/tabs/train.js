// Train live: REINFORCE and GRPO race from the same start. A recorded race plays until someone presses Train.
window.grpo.views.train = ({ find, ask, data, element }) => {
  const { adopt, bytes, charts, gallery, make, merit, onRecipe, percent, state, still } = window.grpo;
  const NAMES = { reinforce: ["REINFORCE", "#E69F00", "7 4"], grpo: ["GRPO", "#009E73", ""] };
  const PRESETS = {
    one: ["One digit, from no labels", { task: "steer", digits: [7], steps: 40, group: 64, beta: 0.05, epsilon: 0.2, lr: 0.001 }],
    all: ["All ten digits", { task: "steer", digits: [0, 1, 2, 3, 4, 5, 6, 7, 8, 9], steps: 60, group: 64, beta: 0.08, epsilon: 0.2, lr: 0.0007 }],
    refine: ["Refine a digit", { task: "refine", digits: [8], steps: 40, group: 128, beta: 0.04, epsilon: 0.2, lr: 0.0003 }],
    free: ["No leash: KL weight 0", { task: "steer", digits: [7], steps: 60, group: 64, beta: 0, epsilon: 0.2, lr: 0.002 }],
    scratch: ["From scratch", { task: "scratch", digits: [7], steps: 60, group: 64, beta: 0, epsilon: 0.2, lr: 0.001 }],
  };
  const BREAK = { task: "scratch", digits: [7], steps: 120, group: 64, beta: 0, epsilon: 0.2, lr: 0.003 };
  const settings = { ...PRESETS.one[1], seed: 0 };
  let race = null; // {size, digit, reinforce: {points, frames}, grpo: ..., references}
  let key = null;
  let timer = 0;

  const columns = Object.entries(NAMES).map(([name, [title, colour]]) => {
    const parts = { figure: make("p", { class: "figure" }, "\u00a0"), samples: make("div", { class: "samples live" }) };
    parts.node = make("section", { class: "racer", style: `--policy:${colour}` }, make("h2", {}, title), parts.figure, parts.samples);
    return { name, title, colour, ...parts };
  });
  find(".race").append(...columns.map((column) => column.node));

  const boxes = Array.from({ length: 10 }, (_, k) => make("input", { type: "checkbox", value: k, "aria-label": `Digit ${k}`, onchange: picked }));
  find(".choices").append(...boxes.map((box, k) => make("label", {}, box, make("span", {}, String(k)))));
  find(".preset").append(...Object.entries(PRESETS).map(([name, [title]]) => make("option", { value: name }, title)), make("option", { value: "own" }, "My own settings"));
  find(".preset").addEventListener("change", () => { const own = PRESETS[find(".preset").value]; if (own) set(own[1]); });
  const fields = [...element.querySelectorAll("[data-name]")];
  fields.forEach((field) => field.addEventListener("change", () => {
    settings[field.dataset.name] = field.tagName === "SELECT" ? field.value : Number(field.value);
    find(".preset").value = "own";
  }));

  // Patches are drawn by a transformer, which learns at a lower rate and in slower steps; all ten digits must end in time.
  const fit = (values) => {
    if (state.recipe === "pixels-8x8") return values;
    const most = values.digits.length > 1 ? { lr: 0.0001, group: 16, steps: 30 } : { lr: 0.0004, group: 64 };
    return { ...values, ...Object.fromEntries(Object.entries(most).map(([name, value]) => [name, Math.min(values[name], value)])) };
  };

  function set(values) {
    Object.assign(settings, fit({ ...settings, ...values }));
    fields.forEach((field) => { field.value = settings[field.dataset.name]; });
    boxes.forEach((box, k) => { box.checked = settings.digits.includes(k); });
  }


  function picked() {
    const digits = boxes.flatMap((box, k) => (box.checked ? [k] : []));
    if (!digits.length) { this.checked = true; return; }
    settings.digits = digits;
    const most = Math.floor(640 / digits.length);
    if (settings.group > most) set({ group: most });
  }

  function buttons(running, paused = false) {
    find(".start").disabled = running;
    find(".break").disabled = running;
    find(".pause").disabled = find(".stop").disabled = !running;
    find(".pause").textContent = paused ? "Go on" : "Pause";
  }

  // What is on screen is a function of the race and the step shown.
  function draw(step) {
    for (const column of columns) {
      const { points, frames } = race[column.name];
      const at = Math.min(step, points.length - 1);
      if (at < 0) continue;
      const now = points[at];
      column.figure.replaceChildren(make("b", {}, percent(now.success, 0)), ` judge success, reward ${now.reward.toFixed(2)}, ${now.kl.toFixed(1)} nats, ${now.samples} samples, ${now.seconds.toFixed(1)} s`);
      const frame = frames[at] || frames[frames.length - 1];
      if (frame) {
        const most = Math.max(0.01, ...frame.advantages.map(Math.abs));
        gallery(column.samples, { ...frame, size: race.size, digit: race.digit }, { label: `${column.title}, sample`, note: (i) => frame.rewards[i].toFixed(2), frame: (i) => merit(frame.advantages[i], most) });
      }
    }
    const upto = (name) => race[name].points.slice(0, step + 1);
    const lines = (x, y) => columns.map(({ name, title, colour }) => ({ name: title, colour, dash: NAMES[name][2], points: upto(name).map((p) => [p[x], p[y]]) }));
    const judge = columns.map(({ name, title, colour }) => ({ name: `${title}, judge`, colour, dash: "2 4", points: upto(name).map((p) => [p.samples, p.success]) }));
    const total = Math.max(...columns.map(({ name }) => race[name].points.length ? race[name].points[race[name].points.length - 1].samples : 1));
    charts.lines(find(".by-samples"), { label: "Reward and judge success over samples seen", x: "samples seen", y: "reward and judge success", high: 1, right: total,
      series: [...lines("samples", "reward"), ...judge] });
    const line = race.references ? race.references.line : [];
    const most = Math.max(4, ...columns.flatMap(({ name }) => race[name].points.map((p) => p.kl)));
    charts.lines(find(".by-kl"), { label: "Judge success against KL spent", x: "KL spent, nats a picture", y: "judge success", high: 1, right: most,
      marks: race.references && race.task !== "scratch" ? [{ x: race.references.bound, name: "least for 100 %" }] : [],
      series: [{ name: "best-of-N", colour: "#999999", dash: "3 3", points: line }, ...lines("kl", "success")] });
    const bar = find(".scrub");
    bar.max = Math.max(0, ...columns.map(({ name }) => race[name].points.length - 1));
    bar.value = step;
    find(".where").textContent = `${step + 1} of ${Number(bar.max) + 1}`;
    find(".finding").textContent = finding(upto("grpo"));
  }

  // One sentence on where GRPO is at the step shown, computed from its figures of the last three steps.
  function finding(points) {
    if (!points.length) return "\u00a0";
    const [first, last, recent] = [points[0], points[points.length - 1], points.slice(-3)];
    const mean = (name) => recent.reduce((sum, p) => sum + p[name], 0) / recent.length;
    const [reward, success] = [mean("reward"), mean("success")];
    const paid = `reward ${reward.toFixed(2)}, judge success ${percent(success, 0)}`;
    const spent = `${last.kl.toFixed(1)} nats, entropy ${first.entropy.toFixed(2)} \u2192 ${last.entropy.toFixed(2)} (GRPO, last 3 steps)`;
    if (reward > success + 0.2) return `Reward hacking, the classifier is pleased and the judge is not: ${paid}; ${spent}.`;
    if (last.entropy < 0.35 * first.entropy) return `Collapse, the policy hardly varies any more: ${paid}; ${spent}.`;
    if (success > 0.85) return `It learned: ${paid}; ${spent}.`;
    if (reward < first.reward + 0.1) return `Nothing learned yet: ${paid}; ${spent}.`;
    return `On its way: ${paid}; ${spent}.`;
  }

  const empty = () => ({ points: [], frames: [] });

  async function start() {
    clearInterval(timer);
    find(".take").hidden = true;
    const asked = { ...settings };
    const found = await ask("train", { settings: asked, recipe: state.recipe });
    if (!found) return;
    const own = key = found.key;
    race = { task: asked.task, digit: asked.digits[0], size: state.recipe === "pixels-8x8" ? 8 : 28, reinforce: empty(), grpo: empty() };
    buttons(true);
    find(".status").textContent = "Live: starting\u2026";
    find(".finding").textContent = "\u00a0";
    const fresh = race;
    ask("references", { task: asked.task, digit: asked.digits[0], recipe: state.recipe }, false).then((references) => { if (references) fresh.references = references; });
    while (key === own && element.isConnected) {
      const before = performance.now();
      const news = await ask("news", { key: own, since: [fresh.reinforce.points.length, fresh.grpo.points.length] }, false);
      if (key !== own) return;
      if (news) {
        let fresher = false;
        for (const { name } of columns) {
          for (const point of news[name].points) { fresh[name].points.push(point); fresh[name].frames.push(news[name].frame); fresher = true; }
        }
        if (fresher) draw(Math.max(fresh.reinforce.points.length, fresh.grpo.points.length) - 1);
        const last = fresh.grpo.points[fresh.grpo.points.length - 1];
        const words = { waiting: `Live: waiting, place ${news.place} in the queue. Stop cancels.`, running: "Live: training on this machine.", paused: "Live: paused.",
          done: "Live: finished.", stopped: "Live: stopped.", failed: `Live: ${news.error}` };
        find(".status").textContent = words[news.state] + (last ? ` Step ${last.step + 1} of ${asked.steps}.` : "");
        buttons(["waiting", "running", "paused"].includes(news.state), news.state === "paused");
        if (["done", "stopped", "failed"].includes(news.state)) {
          find(".take").hidden = !news.policy;
          return;
        }
      }
      await new Promise((done) => setTimeout(done, Math.max(30, 150 - (performance.now() - before))));
    }
  }

  async function control(action) {
    if (!key) return;
    if (action === "stop") find(".status").textContent = "Live: stopping\u2026";
    await ask("control", { key, action }, false);
  }

  find("form").addEventListener("submit", (event) => { event.preventDefault(); start(); });
  find(".break").addEventListener("click", () => { set(BREAK); find(".preset").value = "own"; start(); });
  find(".pause").addEventListener("click", () => control(find(".pause").textContent === "Pause" ? "pause" : "resume"));
  find(".stop").addEventListener("click", () => control("stop"));
  find(".reset").addEventListener("click", () => { control("stop"); key = null; set({ ...PRESETS.one[1], seed: 0 }); find(".preset").value = "one"; buttons(false); replay(); });
  find(".scrub").addEventListener("input", () => { clearInterval(timer); draw(Number(find(".scrub").value)); });
  find(".use").addEventListener("click", () => {
    adopt({ name: `mine:${key}`, recipe: state.recipe, title: `Yours \u00b7 trained on ${settings.digits.join(", ")}`, digit: race.digit });
    [...document.querySelectorAll('[role="tab"]')].find((tab) => tab.textContent.trim() === data.tabs.generate).click();
  });
  find(".download").addEventListener("click", async () => {
    const files = await ask("weights", { key }, false);
    if (!files) return;
    for (const [name, content] of [["weights.safetensors", bytes(files.weights)], ["config.json", files.config]]) {
      const link = make("a", { href: URL.createObjectURL(new Blob([content])), download: name });
      link.click();
      setTimeout(() => URL.revokeObjectURL(link.href), 1000);
    }
  });

  // The recorded race, played at once and scrubbed at will; it says that it is recorded.
  async function replay() {
    clearInterval(timer);
    let recorded = data.recorded.train;
    if (recorded?.recipe !== state.recipe) recorded = (await ask("tape", { tab: "train", recipe: state.recipe }, false))?.train;
    if (!recorded || key) return;
    race = recorded;
    const last = race.grpo.points.length - 1;
    const end = race.grpo.points[last];
    find(".status").textContent = `Recorded earlier: digit ${race.digit}, ${last + 1} steps, ${end.seconds.toFixed(0)} s on ${race.machine}. Press Train to run it here and now.`;
    find(".take").hidden = true;
    let step = still.matches || state.presenter ? last : 0;
    draw(step);
    if (step < last) timer = setInterval(() => { if (!element.isConnected || step >= last) { clearInterval(timer); return; } draw(++step); }, 250);
  }

  set({ digits: [state.digit] });
  replay();
  onRecipe(() => { key = null; buttons(false); set(PRESETS.one[1]); replay(); });
  window.addEventListener("pagehide", () => { if (key) control("stop"); });
};
