// Generate: a grid of samples, and one of them being drawn with everything the policy and the classifier thought.
window.grpo.views.generate = ({ find, ask, data }) => {
  const { asked, charts, choosePolicy, digits, gallery, onRecipe, Player, remember, same, state } = window.grpo;
  const request = { policy: asked.policy || "steer/grpo", digit: state.digit, temperature: state.temperature, seed: state.seed, count: state.count };
  const showBelief = charts.belief(find(".belief"), [["classifier", "own"]], "Classifier's belief in each digit");
  let bars = 0;
  let showBars = null;
  const player = new Player(find(".hero"), { onstep: (t, own) => {
    if (own.path.bars !== bars) {
      bars = own.path.bars;
      showBars = charts.distribution(find(".distribution"), bars);
    }
    showBars(own.token(t));
    const k = Math.min(t, own.length - 1);
    find(".entropy").textContent = `Entropy ${own.path.entropy[k].toFixed(2)} of ${Math.log(own.path.vocabulary).toFixed(2)} nats.`;
    showBelief(own.path.digit, own.beliefAt(t));
  } });

  const policy = find(".policy");
  const own = choosePolicy(policy, data.policies, (mine) => { policy.value = mine.name; change({ policy: mine.name, digit: mine.digit }); });
  if (own) Object.assign(request, { policy: own.name, digit: own.digit });
  const fields = { policy, temperature: find(".temperature"), count: find(".count"), seed: find(".seed") };
  digits(find(".choices"), "generate-digit", request.digit, (digit) => change({ digit }));
  for (const [name, field] of Object.entries(fields)) {
    field.value = request[name];
    field.addEventListener("change", () => change({ [name]: name === "policy" ? field.value : Number(field.value) }));
    field.addEventListener("input", shown);
  }
  find("form").addEventListener("submit", (event) => {
    event.preventDefault();
    change({ seed: request.seed >= 2147483647 ? 0 : Math.round(Number(fields.seed.value)) + 1 });
    fields.seed.value = request.seed;
  });

  function shown() {
    find(".shown-temperature").textContent = Number(fields.temperature.value).toFixed(2);
    find(".shown-count").textContent = fields.count.value;
  }

  function change(part) {
    Object.assign(request, part);
    remember({ ...part, tab: "generate" });
    draw();
  }

  async function choose(index, samples = request) {
    const { policy: name, digit, temperature, seed, count } = samples;
    const path = await ask("trajectory", { policy: name, digit, temperature, seed, count, index, recipe: state.recipe });
    if (path) player.load(path);
  }

  function show(found) {
    const right = found.reads.filter((read) => read === found.digit).length;
    const mean = found.rewards.reduce((sum, reward) => sum + reward, 0) / found.rewards.length;
    find(".summary").textContent = `${found.title}: the judge reads ${right} of ${found.count} samples as ${found.digit}; mean reward ${mean.toFixed(3)}.`;
    gallery(find(".samples"), found, { label: "Sample", choose: (i) => choose(i, found) });
  }

  async function draw() {
    const found = await ask("generate", { ...request, recipe: state.recipe });
    if (!found) return;
    show(found);
    choose(0, found);
  }

  shown();
  if (same(data.recorded.generate, request)) {
    show(data.recorded.generate);
    player.load(data.recorded.trajectory);
  } else draw();
  onRecipe(draw);
};
