// Story: six beats over one recorded drawing, one recorded group and one recorded training run of the shipped policies.
window.grpo.views.story = ({ find, ask, data, element }) => {
  const { charts, figure, gallery, make, merit, onRecipe, percent, Player, remember, signed, state } = window.grpo;
  let story = data.recorded.story;
  let player = null;

  const holder = (...classes) => make("div", { class: classes.join(" ") });
  const plain = (text, ...more) => text.replace(/\s+/g, " ") + more.join("");

  function drawing(onstep = () => {}) {
    const box = holder("hero");
    player = new Player(box, { onstep, label: `A ${story.digit} being drawn by the GRPO policy` });
    setTimeout(() => player.load({ ...story.trajectory, index: 0 }), 0);
    return box;
  }
  const group = () => story.group;
  const patches = () => story.recipe !== "pixels-8x8";

  const BEATS = [
    {
      title: "A picture is a sequence",
      text: () => plain(patches() ? `The policy draws on a grid of 7 \u00d7 7 patches, row by row. Each patch is one of 128 learned codes: one token.`
        : `The policy draws on a grid of 8 \u00d7 8 pixels, row by row. Each pixel is one of 16 gray levels: one token.`,
      ` What it draws next depends only on the digit asked for and on what is already there.`),
      formula: () => `p(x | ${story.digit}) = \u220f\u209c p(x\u209c | ${story.digit}, x\u2081 \u2026 x\u209c\u208b\u2081),   t = 1 \u2026 ${story.trajectory.log_probs.length}`,
      fact: () => `This ${story.digit} took ${story.trajectory.log_probs.length} tokens; log p(x) = ${figure(story.trajectory.log_probs.reduce((a, b) => a + b, 0), 1)} nats.`,
      scene: () => [drawing()],
    },
    {
      title: "The policy guesses the next token",
      text: () => plain(`Before each token the policy gives every possible value a probability, and one is drawn at random.
        Where it is sure the bars are one; where it hesitates they spread, and the entropy rises.
        The outline is the policy before reinforcement learning.`),
      formula: () => "x\u209c \u223c \u03c0(\u00b7 | digit, x\u2081 \u2026 x\u209c\u208b\u2081)",
      fact: () => `Mean entropy of this drawing: ${(story.trajectory.entropy.reduce((a, b) => a + b, 0) / story.trajectory.entropy.length).toFixed(2)} nats a token, of at most ${Math.log(story.trajectory.vocabulary).toFixed(2)}.`,
      scene: () => {
        const chart = holder("distribution");
        const show = charts.distribution(chart, story.trajectory.bars);
        return [drawing((t, own) => show(own.token(t))), chart];
      },
    },
    {
      title: "The classifier pays",
      text: () => plain(`A classifier that was trained on real digits looks at the finished picture. Its confidence in the digit
        that was asked for is the reward. Nobody tells the policy which token was right: one number pays for the whole picture.`),
      formula: () => `r(x) = p_classifier(${story.digit} | x)`,
      fact: () => `Reward of this drawing: ${story.trajectory.reward.toFixed(3)}. The judge, a second network, reads ${story.trajectory.read}.`,
      scene: () => {
        const chart = holder("belief");
        const show = charts.belief(chart, [["classifier", "own"]], "Classifier's belief in each digit");
        return [drawing((t, own) => show(story.digit, own.beliefAt(t))), chart];
      },
    },
    {
      title: "A group is compared with itself",
      text: () => plain(`GRPO asks the policy for many samples of the same digit. This is a real group of ${group().count}, from the policy that
        never saw a label. What a sample earns beyond its group's mean is its advantage: blue is better than the group, orange is worse.`),
      formula: () => "A\u1d62 = r\u1d62 \u2212 mean(r\u2081 \u2026 r_G)",
      fact: () => `Mean reward ${group().mean.toFixed(3)}, standard deviation ${group().std.toFixed(3)}; ${group().reads.filter((read) => read === story.digit).length} of ${group().count} read as ${story.digit} by the judge.`,
      scene: () => {
        const box = holder("samples", "big");
        const most = Math.max(...group().advantages.map(Math.abs));
        gallery(box, group(), { label: "Sample of the group", note: (i) => signed(group().advantages[i]), frame: (i) => merit(group().advantages[i], most) });
        return [box];
      },
    },
    {
      title: "The update makes better samples likelier",
      text: () => plain(`Every token of a sample is made likelier or less likely, as its advantage says; the ratio to the old policy
        is clipped, and a penalty holds the policy near its start. Under each sample of the same group: how many nats likelier the trained policy makes it.`),
      formula: () => "max E[ min(\u03c1A, clip(\u03c1, 1\u2212\u03b5, 1+\u03b5) A) ] \u2212 \u03b2 KL(\u03c0 \u2016 \u03c0_start)",
      fact: () => {
        const best = group().advantages.indexOf(Math.max(...group().advantages));
        return `The sample with the largest advantage changed by ${signed(story.changed[best], 1)} nats, the others by ${signed(story.changed.filter((_, i) => i !== best).reduce((a, b) => a + b, 0) / (story.changed.length - 1), 1)} in the mean.`;
      },
      scene: () => {
        const box = holder("samples", "big");
        const most = Math.max(...story.changed.map(Math.abs));
        gallery(box, group(), { label: "Sample of the group", note: (i) => signed(story.changed[i], 1), frame: (i) => merit(story.changed[i], most) });
        return [box];
      },
    },
    {
      title: "Before and after",
      text: () => plain(`From the classifier's word alone the policy has learned what a ${story.digit} is. The same random numbers, before
        and after; a cross marks what the judge reads as another digit.`),
      formula: () => "",
      fact: () => story.surveys.map((one, i) => `${i ? "After" : "Before"}: ${percent(one.right / one.count, 0)} of ${one.count} (95 %: ${percent(one.interval[0], 0)} to ${percent(one.interval[1], 0)})`).join(". ") + `. Price: ${story.surveys[1].total.toFixed(1)} nats of KL.`,
      scene: () => [story.before, story.after].map((found, i) => {
        const box = holder("samples", "small");
        gallery(box, found, { label: i ? "After" : "Before" });
        return make("figure", {}, make("figcaption", {}, i ? "After GRPO" : "Before"), box);
      }).concat([(() => {
        const box = holder("curve");
        charts.lines(box, { label: "Reward and judge success over the samples of the training run", x: "samples seen", y: "in training, all ten digits", high: 1,
          series: [{ name: "reward", colour: "#009E73", points: story.curve.map((p) => [p.samples, p.reward]) },
            { name: "judge success", colour: "#0072B2", dash: "6 4", points: story.curve.map((p) => [p.samples, p.success]) }] });
        return box;
      })()]),
    },
  ];

  const dots = BEATS.map((beat, i) => make("button", { type: "button", "aria-label": `Beat ${i + 1}: ${beat.title}`, onclick: () => go(i + 1) }, String(i + 1)));
  find(".dots").append(...dots);

  function show() {
    const k = state.beat - 1;
    const beat = BEATS[k];
    if (player) player.play(false);
    player = null;
    find(".step").textContent = `Beat ${k + 1} of ${BEATS.length}`;
    find(".title").textContent = beat.title;
    find(".text").replaceChildren(make("p", {}, beat.text()));
    find(".formula").replaceChildren(...beat.formula().split(/_(\S)/).map((part, i) => (i % 2 ? make("sub", {}, part) : part)));
    find(".fact").textContent = beat.fact();
    find(".scene").className = `scene beat-${k + 1}`;
    find(".scene").replaceChildren(...beat.scene());
    dots.forEach((dot, i) => dot.setAttribute("aria-current", i === k ? "step" : "false"));
    find(".back").disabled = k === 0;
    find(".next").disabled = k === BEATS.length - 1;
  }

  function go(beat) {
    remember({ beat: Math.max(1, Math.min(BEATS.length, beat)), tab: "story" });
    if (story) show();
  }

  find(".next").addEventListener("click", () => go(state.beat + 1));
  find(".back").addEventListener("click", () => go(state.beat - 1));
  document.addEventListener("keydown", (event) => {
    if (state.tab !== "story" || !element.isConnected || !element.offsetParent) return;
    if (event.target.closest && event.target.closest("input, select, textarea, [role=tab], .player")) return;
    if (event.key === "ArrowRight") go(state.beat + 1);
    else if (event.key === "ArrowLeft") go(state.beat - 1);
  });

  async function fetchStory(recipe) {
    const found = await ask("tape", { tab: "story", recipe });
    if (found) { story = found.story; show(); }
  }
  onRecipe(fetchStory);
  if (story && story.recipe === state.recipe) show();
  else fetchStory(state.recipe);
};
