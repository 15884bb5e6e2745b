// Complete: the top rows of a drawing become the first tokens, and the policy finishes it several ways.
window.grpo.views.complete = ({ find, ask, data }) => {
  const { asked, choosePolicy, digits, gallery, onRecipe, Pad, remember, same, state } = window.grpo;
  const request = { policy: asked.policy || "refine/grpo", digit: state.digit, temperature: state.temperature, seed: state.seed, rows: 4 };
  const pad = new Pad(find(".pad-box"), { onchange: () => draw(), label: "Drawing pad for the top rows" });
  const policy = find(".policy");
  const own = choosePolicy(policy, data.policies, (mine) => { policy.value = mine.name; change({ policy: mine.name, digit: mine.digit }); });
  if (own) Object.assign(request, { policy: own.name, digit: own.digit });
  const fields = { policy, temperature: find(".temperature"), rows: find(".rows"), seed: find(".seed") };
  digits(find(".choices"), "complete-digit", request.digit, (digit) => change({ digit }));
  for (const [name, field] of Object.entries(fields)) {
    field.addEventListener("change", () => change({ [name]: name === "policy" ? field.value : Number(field.value) }));
    field.addEventListener("input", shown);
  }
  find(".clear").addEventListener("click", () => { pad.clear(); draw(); });
  find("form").addEventListener("submit", (event) => {
    event.preventDefault();
    change({ seed: request.seed >= 2147483647 ? 0 : request.seed + 1 });
    fields.seed.value = request.seed;
  });

  const grid = () => (state.recipe === "pixels-8x8" ? 8 : 7);
  function fit() {
    fields.rows.max = grid();
    request.rows = Math.min(request.rows, grid());
    for (const [name, field] of Object.entries(fields)) field.value = request[name];
    shown();
  }

  function shown() {
    find(".shown-rows").textContent = `${fields.rows.value} of ${grid()}`;
    find(".shown-temperature").textContent = Number(fields.temperature.value).toFixed(2);
    pad.given = Math.round(28 * Number(fields.rows.value) / grid());
    pad.draw();
  }

  function change(part) {
    Object.assign(request, part);
    const { rows, ...link } = part;
    remember({ ...link, tab: "complete" });
    draw();
  }

  async function draw() {
    const found = await ask("complete", { ...request, picture: pad.rows(), count: 12, recipe: state.recipe });
    if (found) show(found);
  }

  function show(found) {
    const right = found.reads.filter((read) => read === found.digit).length;
    find(".summary").textContent = `${found.title} finished it ${found.count} times from ${found.rows} rows; the judge reads ${right} as ${found.digit}.`;
    gallery(find(".samples"), found, { label: "Completion" });
  }

  pad.strokes(Pad.SEVEN);
  fit();
  if (same(data.recorded.complete, request)) show(data.recorded.complete);
  else draw();
  onRecipe(() => { fit(); draw(); });
};
