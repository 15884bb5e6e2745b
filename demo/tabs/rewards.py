"""Rewards: what the classifier and the judge make of a picture, and what a group's rewards become."""

import gradio as gr

from demo.components import beliefs, drawing_pad, sample_grid, table, words
from demo.page import AGAIN, Page, View, notes
from demo.sentences import a_digit

CLASSIFIER, JUDGE = "#0072B2", "#CC79A7"
WHAT = [("my drawing", "mine"), ("an empty sheet", "blank"), ("climbed from noise", "noise")]


def advantage_colours(advantages: list[float], most: float = 0.0) -> list[str]:
    """Blue for better than the group, vermilion for worse; the stronger, the further from the mean.

    Args:
        most: what has the full colour; 0 is the largest of them.
    """
    most = most or max(1e-9, *(abs(value) for value in advantages))
    ends = ["213,94,0" if value < 0 else "0,114,178" for value in advantages]
    return [
        f"rgba({end},{0.3 + 0.7 * min(1, abs(value) / most):.2f})"
        for end, value in zip(ends, advantages, strict=True)
    ]


def build(page: Page) -> View:
    engine = page.engine
    with gr.Row(elem_classes="slide"):
        with gr.Column(elem_classes="stage three"):
            pad = drawing_pad("rewards-pad")
            graded = words(style="graded", name="rewards-graded")
            sure = beliefs("rewards-beliefs")
        with gr.Column(elem_classes="narrative"):
            says = words(style="claim", name="rewards-says")
            terms = words(style="table", name="rewards-table")
            group_says = words(style="label", name="rewards-group-says")
            group = sample_grid("rewards-group")
    with gr.Row(elem_classes="transport"):
        what = gr.Dropdown(WHAT, value="mine", label="What is graded", min_width=150)
        centre = gr.Checkbox(True, label="centred as MNIST is", min_width=150)
        task = page.task()
        seed = page.seed()
    page.caption(
        "The reward is the classifier's confidence in the digit asked for. The judge pays nothing: it can "
        "show where the classifier is fooled."
    )

    def show(recipe, digit, picture, what, centre, task, seed):
        if what == "mine":
            found = engine.score(picture, digit, task, recipe, centre)
        else:
            found = engine.fool(what, digit, task, 0, recipe)
        drawn = engine.group(task, digit, seed, recipe)
        advantages, right = drawn["advantages"], drawn["reads"].count(digit)
        said = f"A real group of 16 from the start, asked for {a_digit(digit)}: "
        said += f"mean reward {drawn['mean']:.2f}, {right} right. Under each: its advantage."
        shown = {**drawn, "notes": notes(advantages, {}), "colours": advantage_colours(advantages)}
        return [*_graded(found, what), said, shown]

    inputs = [page.recipe, page.digit, pad, what, centre, task, seed]
    outputs = [graded, sure, says, terms, group_says, group]
    drawn = pad.change(None, None, what, js="() => 'mine'")
    drawn.then(None, None, None, js=AGAIN)
    page.link("graded", what)
    page.link("centred", centre)
    return View(show, inputs, outputs, [what.input, centre.input, task.input, seed.submit, seed.blur])


def _graded(found: dict, what: str) -> list:
    digit, series = found["digit"], [["classifier", CLASSIFIER], ["judge", JUDGE]]
    if found.get("empty"):
        nobody = {"digit": digit, "series": [[*one, [0] * 10] for one in series]}
        return ["", nobody, "Nothing is drawn yet. Draw on the pad.", ""]
    sure, read = found["classifier"][digit], max(range(10), key=lambda k: found["judge"][k])
    captions = {"picture": "as it is graded", "saliency": "where the classifier looks"}
    other = "" if what == "mine" else " class='other'"  # than what is on the pad, which fades
    pictures = [
        f"<figure{other}><img src='{found[name]}' alt='{says}'><figcaption>{says}</figcaption></figure>"
        for name, says in captions.items()
    ]
    fooled = what != "mine" and sure > 0.5 and read != digit
    asked = a_digit(digit)
    paid = f"is paid for {asked}, and it is no {digit}" if fooled else f"is the reward for {asked}"
    rows = []
    for name, value in found["terms"].items():
        weight = found["weights"][name]
        rows.append((name.replace("_", " "), f"{value:.3f}", f"× {weight:g}" if weight else "not paid here"))
    return [
        "".join(pictures),
        {"digit": digit, "series": [[*one, found[one[0]]] for one in series]},
        f"<b>{sure:.3f}</b> {paid}. The judge reads {read}.",
        table(rows),
    ]
