// Rewards: what the classifier sees, a drawing of one's own, a fooled classifier, and a real group taken apart.
window.grpo.views.rewards = ({ find, ask, data }) => {
  const { bytes, charts, digits, gallery, heat, make, merit, onRecipe, Pad, paint, percent, remember, same, signed, state, still } = window.grpo;
  const request = { task: state.task, digit: state.digit, seed: state.seed };
  const show = charts.belief(find(".belief"), [["classifier", "own"], ["judge", "judge"]], "Belief of classifier and judge in each digit, in percent");
  const pad = new Pad(find(".pad-box"), { onchange: () => score(), label: "Drawing pad" });

  digits(find(".choices"), "rewards-digit", request.digit, (digit) => { request.digit = digit; remember({ digit, tab: "rewards" }); score(); group(); });
  find(".task").value = request.task;
  find(".task").addEventListener("change", () => { request.task = find(".task").value; remember({ task: request.task, tab: "rewards" }); score(); group(); });
  find(".clear").addEventListener("click", () => { pad.clear(); score(); });
  find(".fool").addEventListener("click", fool);
  find(".regroup").addEventListener("click", () => { request.seed = (request.seed + 1) % 2147483647; remember({ seed: request.seed, tab: "rewards" }); group(); });

  async function score() {
    const found = await ask("score", { picture: pad.rows(), digit: request.digit, task: request.task, recipe: state.recipe });
    if (found) tell(found);
  }

  function tell(found) {
    show(found.digit, found.classifier, found.judge);
    paint(find(".seen"), bytes(found.image), found.size);
    paint(find(".saliency"), bytes(found.saliency), found.size, heat);
    find(".terms tbody").replaceChildren(...Object.entries(found.terms).map(([name, term]) =>
      make("tr", {}, make("th", { scope: "row" }, name), make("td", {}, term.value.toFixed(3)), make("td", {}, term.weight ? term.weight.toFixed(2) : "0, only logged"))));
    const read = found.judge.indexOf(Math.max(...found.judge));
    find(".verdict").textContent = `Reward for a ${found.digit}: ${found.reward.toFixed(3)}. The judge reads ${read}.`;
  }

  // The climb, replayed: noise that turns into what the classifier calls a digit.
  async function fool() {
    request.fool = (request.fool ?? request.seed) + 1;
    const found = await ask("fool", { digit: request.digit, seed: request.fool % 2147483647, recipe: state.recipe });
    if (!found) return;
    const frames = bytes(found.frames);
    const area = found.size * found.size;
    let k = still.matches || state.presenter ? found.count - 1 : 0;
    (function next() {
      paint(find(".seen"), frames.subarray(k * area, (k + 1) * area), found.size);
      find(".verdict").textContent = `Step ${k * found.steps / (found.count - 1)} of ${found.steps}: the classifier believes ${percent(found.belief[k], 1)} that this is a ${found.digit}.`;
      if (++k < found.count) { setTimeout(next, 60); return; }
      show(found.digit, found.classifier, found.judge);
      const read = found.judge.indexOf(Math.max(...found.judge));
      find(".verdict").textContent = found.fooled
        ? `Fooled: the classifier is ${percent(found.belief[found.count - 1], 1)} sure of a ${found.digit}; the judge reads ${read} (${percent(found.judge[found.digit], 1)} for ${found.digit}). This is reward hacking.`
        : `Not this time: classifier ${percent(found.belief[found.count - 1], 1)}, and the judge agrees (${percent(found.judge[found.digit], 1)}). Try once more.`;
    })();
  }

  async function group() {
    const found = await ask("group", { task: request.task, digit: request.digit, seed: request.seed, recipe: state.recipe }, false);
    if (found) tellGroup(found);
  }

  function tellGroup(found) {
    const most = Math.max(...found.advantages.map(Math.abs));
    gallery(find(".group"), found, { label: "Sample of the group", note: (i) => `${found.rewards[i].toFixed(2)} \u2192 ${signed(found.advantages[i])}`,
      frame: (i) => merit(found.advantages[i], most) });
    find(".group-figures").textContent = `${found.count} samples of a ${found.digit} from the start of ${found.task}: mean reward ${found.mean.toFixed(3)}, ` +
      `standard deviation ${found.std.toFixed(3)}. Advantage = reward \u2212 mean; divided by the deviation, the best would weigh ${signed(Math.max(...found.scaled))}.`;
  }

  pad.strokes(Pad.SEVEN);
  const { seed, ...scored } = request;
  if (same(data.recorded.score, scored)) tell(data.recorded.score);
  else score();
  if (same(data.recorded.group, request)) tellGroup(data.recorded.group);
  else group();
  onRecipe(() => { score(); group(); });
};
