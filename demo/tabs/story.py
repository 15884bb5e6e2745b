"""Story: how rewards alone teach a network to draw what it is asked for, in six steps."""

import gradio as gr

from demo.components import distribution, live_chart, player, sample_grid, words
from demo.page import TEXTS, Page, View, formula, gained, guess, lettered, notes, signed
from demo.sentences import a_digit
from demo.tabs.rewards import advantage_colours

SEED = 2
STEPS = ("Squares", "Picture", "Grade", "Group", "Push", "Better picture")
CLAIMS = (
    "A small network paints a digit one square at a time.",
    "At first nobody has told it what digits are called: asked for one, it draws any.",
    "A second network grades the finished picture. The grade is the reward.",
    "Draw sixteen, and compare each with the mean of its group.",
    "One update makes the better ones likelier, and the others less likely.",
    "After thousands of grades, it draws what it is asked for.",
)


def build(page: Page) -> View:
    engine = page.engine
    parts, says, chosen, guesses = [], [], [], []
    with gr.Walkthrough(selected=1, elem_id="story-steps") as page.steps:
        for i, title in enumerate(STEPS):
            with gr.Step(title, id=i + 1) as step, gr.Row(elem_classes="slide"):
                chosen.append(step)
                with gr.Column(elem_classes="stage"):
                    if i == 0:
                        parts.append(player("story-player"))
                    elif i < 5:
                        parts.append(sample_grid(f"story-grid-{i}"))
                    else:
                        parts += [sample_grid("story-after"), live_chart("story-curve")]
                with gr.Column(elem_classes="narrative"):
                    words(CLAIMS[i], "claim")
                    says.append(words(style="fact"))
                    formula(TEXTS[f"story {i + 1}"])
                    if i in (3, 4):
                        guesses.append(guess(f"story-guess-{i + 1}"))
                    if i == 0:
                        words("What it may put into the next square", "label")
                        distribution("story-token", follows="story-player")
    with gr.Row(elem_classes="transport"):
        back = gr.Button("Back", elem_id="story-back", min_width=120)
        next_ = gr.Button("Next", variant="primary", elem_id="story-next", min_width=160)
    page.caption(
        "A small network paints a digit one square at a time. A second network grades the result. Watch the "
        "painter learn from grades alone."
    )

    def taught(recipe, digit):
        lesson = engine.one_step(digit, 16, 1, False, recipe=recipe)
        return lesson, lesson["weights"]["grpo"]

    def show(recipe, digit):
        lesson, advantages = taught(recipe, digit)
        path = engine.trajectory("steer/grpo", digit, 1.0, SEED, 16, 0, recipe)
        after = engine.generate("steer/grpo", digit, 1.0, SEED, 16, recipe)
        right, right_after = lesson["reads"].count(digit), after["reads"].count(digit)
        best = max(range(16), key=lambda i: lesson["rewards"][i])
        grades = [f"{reward:.2f}" for reward in lesson["rewards"]]
        merits = notes(advantages, lettered(advantages))
        pushes = [signed(value, 1) for value in lesson["changed"]]
        colours = advantage_colours(advantages)
        gap = gained(lesson["changed"], advantages)
        curve = engine.training("steer", ["grpo"], recipe)
        drawn = f"{len(path['log_probs'])} tokens, row by row from the top"
        asked, graded = a_digit(digit), f"{curve['most_samples']:,} graded samples"
        points = [[point["samples"], point["racers"][0]["success"]] for point in curve["points"]]
        return [
            path,
            {**lesson, "notes": None},
            {**lesson, "notes": grades},
            {**lesson, "notes": merits, "colours": colours},
            {**lesson, "notes": pushes, "colours": advantage_colours(lesson["changed"])},
            after,
            {
                "series": [{"colour": "#009E73", "points": points}],
                "x": {"label": "samples graded", "max": curve["most_samples"]},
                "y": {"label": "success", "max": 1, "percent": True},
            },
            f"{drawn}: the trained policy, asked for {asked}.",
            f"<b>{right} of 16</b> are {asked}: a real group, chosen because a few succeed. A cross: the "
            "judge, a network that only watches, reads another digit.",
            f"The best of these sixteen is paid <b>{lesson['rewards'][best]:.2f}</b>, the mean is "
            f"{lesson['mean']:.2f}.",
            f"The group's mean is <b>{lesson['mean']:.2f}</b>: blue is better than that, orange is worse.",
            f"After one real update the better ones gained <b>{gap:+.1f} nats</b> on the others, on average.",
            f"<b>{right_after} of 16</b> are {asked} now, after {graded}.",
            "Guess first. Which of A, B, C and D does one update push up most?",
            gr.Radio(list("ABCD"), value=None),
            "",
            f"Guess first. After {graded}, how many of 16 are {asked}?",
            gr.Radio(["4", "8", "12", "16"], value=None),
            "",
        ]

    def pushed(recipe, digit, guessed):
        lesson, advantages = taught(recipe, digit)
        letters = lettered(advantages)
        best = max(letters, key=lambda i: lesson["changed"][i])
        nats = ", ".join(f"{letter} {signed(lesson['changed'][i], 1)}" for i, letter in letters.items())
        return [f"You guessed {guessed}. Measured: {letters[best]} (nats: {nats})."]

    def learned(recipe, digit, guessed):
        after = engine.generate("steer/grpo", digit, 1.0, SEED, 16, recipe)
        return [f"You guessed {guessed}. Measured: {after['reads'].count(digit)}, on the next slide."]

    for (_, choice, answer), measure in zip(guesses, (pushed, learned), strict=True):
        page.on(choice.input, measure, [page.recipe, page.digit, choice], [answer])

    # In the browser alone: answers to keys pressed in quick succession could overtake each other.
    for button, by in ((back, -1), (next_, 1)):
        turn = f"() => ({{ __type__: 'update', selected: grpo.turn({by}, {len(STEPS)}) }})"
        button.click(None, None, page.steps, js=turn, api_visibility="private", trigger_mode="multiple")
    for i, step in enumerate(chosen):
        step.select(None, None, None, js=f"() => grpo.turn(0, {len(STEPS)}, {i + 1})")
    asked = [part for one in guesses for part in one]
    return View(show, [page.recipe, page.digit], [*parts, *says, *asked])
