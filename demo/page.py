"""What every tab is built with: the controls that all share, and how its events are wired."""

import functools
import html
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import gradio as gr
from gradio.components import Component

from demo import checks
from demo.checks import RequestError
from demo.components import words
from demo.engine import Engine
from demo.turns import AT_ONCE, MODEL

LABELS = {  # of arguments, where the page calls them otherwise
    "beta": "Price of the KL",
    "digits": "Digits to learn",
    "group": "Samples per digit",
    "lr": "Learning rate",
    "rows": "Rows that are yours",
    "runs": "Who races",
    "seed": "Seed",
    "steps": "Steps",
    "temperature": "Temperature",
}
# Longer texts, by the headings of texts.md.
PARTS = Path(__file__).with_name("texts.md").read_text(encoding="utf-8").removeprefix("# ").split("\n# ")
TEXTS = dict(part.split("\n", maxsplit=1) for part in PARTS)
AGAIN = "() => document.getElementById('again').click()"  # shows the open tab anew, see ``ui.wire``
LATEX = [{"left": "$$", "right": "$$", "display": True}, {"left": "$", "right": "$", "display": False}]


@dataclass(frozen=True)
class View:
    """What a tab shows: inputs to outputs, when it is opened and whenever recipe or digit change."""

    show: Callable[..., Sequence]
    inputs: list[Component]
    outputs: list[Component]
    again: Sequence = ()  # other events that show it anew


@dataclass
class Page:
    """The shared controls. A tab's module has ``build(page) -> View``."""

    blocks: gr.Blocks
    engine: Engine
    recipe: gr.Radio
    digit: gr.Radio
    notice: gr.HTML  # one sentence about what was refused, until the next answer
    trained: gr.State  # policies that this visitor trained: (recipe, name, title) each
    tab: str = ""  # that is being built; none where all share a control
    linked: list[tuple[str, str, Component]] = field(default_factory=list)  # see ``link``
    policies: list[gr.Dropdown] = field(default_factory=list)  # dropdowns of policies
    steps: gr.Walkthrough | None = None  # of the story
    shows: list = field(default_factory=list)  # events that show something, see ``ui.wire``

    def on(
        self,
        triggers,
        show: Callable,
        inputs: list,
        outputs: list,
        js: str | None = None,
        trigger_mode: Literal["always_last", "once"] = "always_last",
    ):
        """An event of a tab: one trigger (``button.click``, ``event.then``), or a list of them.

        What is refused is said in ``notice``, and the rest stays as it was. ``trigger_mode``, as Gradio has
        it: what becomes of triggers while an answer is on its way.
        """
        listen = functools.partial(gr.on, triggers) if isinstance(triggers, list) else triggers

        @functools.wraps(show)  # Gradio looks at the parameters: one may ask for the event itself
        def answer(*values):
            try:
                return [*show(*in_range(inputs, values)), ""]
            except RequestError as error:
                says = html.escape(refused(str(error)))
                return [*(gr.skip() for _ in outputs), f"<span role='alert'>{says}</span>"]

        event = listen(
            fn=answer,
            inputs=inputs,
            outputs=[*outputs, self.notice],
            js=js,
            api_visibility="private",
            preprocess=False,  # the engine checks every value, and says what is wrong with it
            show_progress="minimal",
            show_progress_on=self.notice,  # while it is pending, the slide fades; a status of each is slow
            trigger_mode=trigger_mode,
            concurrency_id=MODEL,
            concurrency_limit=AT_ONCE,
        )
        if trigger_mode == "always_last":  # what happens once is not taken back: it may have begun a race
            self.shows.append(event)
        return event

    def link(self, name: str, control: Component) -> None:
        """Let the address hold a control of the tab, under that name."""
        self.linked.append((self.tab, name, control))

    def from_text(self, control: Component, name: str, text: str, recipe: str) -> Any:
        """A link's text as the value of a control, which says itself what it allows. Raises RequestError.

        Args:
            recipe: that the link asks for: it has policies of its own.
        """
        if isinstance(control, (gr.Dropdown, gr.Radio, gr.CheckboxGroup)):
            recipe = recipe if recipe in self.engine.recipes else self.recipe.value
            choices = self.engine.policies(recipe) if control in self.policies else control.choices
            values = {str(value): value for _, value in choices}
            if isinstance(control.value, list):
                return [values[checks.one_of(name, part, values)] for part in text.split(",")]
            return values[checks.one_of(name, text, values)]
        if isinstance(control, gr.Checkbox):
            return checks.one_of(name, text, ("true", "false")) == "true"
        in_steps = isinstance(control, gr.Slider) and control.step != 1
        check = checks.number if in_steps else checks.whole
        return check(name, checks.typed(text), control.minimum, control.maximum)

    def draw_anew(self, seed: Component) -> None:
        """A button that takes the next seed, and shows what it draws."""
        button = gr.Button("Draw new ones", variant="primary", min_width=150)
        another = button.click(None, seed, seed, js="(seed) => ((seed || 0) + 1) % 2 ** 31")
        another.then(None, None, None, js=AGAIN)

    def policy(self, value: str, label: str = "Policy") -> gr.Dropdown:
        """A dropdown of the recipe's policies, those that the visitor trained among them; if the value is "",
        none can be chosen as well.
        """
        choices = self.choices(value, self.recipe.value, [])
        self.policies.append(gr.Dropdown(choices, value=value, label=label, min_width=180))
        self.link("policy" if value else "other", self.policies[-1])
        return self.policies[-1]

    def fit(self, recipe: str, trained: list, *chosen: str) -> list[gr.Dropdown]:
        """The dropdowns of policies for a recipe; what is chosen stays where it is in the list."""
        found = []
        for dropdown, value in zip(self.policies, chosen, strict=True):
            here = self.choices(dropdown.value, recipe, trained)
            value = value if value in [name for _, name in here] else dropdown.value
            found.append(gr.Dropdown(choices=here, value=value))
        return found

    def choices(self, usual: str, recipe: str, trained: list) -> list[tuple[str, str]]:
        """What a dropdown of policies offers: (title, name) each; none as well, where that is usual."""
        policies = self.engine.policies(recipe, trained)
        return policies if usual else [("none", ""), *policies]

    def task(self) -> gr.Dropdown:
        """A dropdown of the tasks, by what their start knows."""
        tasks = [("steer: no labels", "steer"), ("refine: with labels", "refine")]
        task = gr.Dropdown(tasks, value="steer", label="The start", min_width=150, elem_classes="task")
        self.link("task", task)
        return task

    def seed(self, visible: bool = True) -> gr.Number:
        """The number that decides which samples are drawn."""
        seed = gr.Number(
            0,
            label="Seed",
            visible=visible,
            precision=0,
            minimum=0,
            maximum=checks.LARGEST_SEED,
            elem_classes="seed",
        )
        self.link("seed", seed)
        return seed

    def caption(self, text: str) -> None:
        """One plain sentence under the slide; it stays in presenter mode."""
        words(text, "caption")


def in_range(controls: list[Component], values: Sequence) -> list:
    """An event's values, those of sliders moved into their range, as Gradio does with what is typed."""
    rest, found = iter(controls), []
    for value in values:
        own = None if isinstance(value, (gr.EventData, gr.Request)) else next(rest)
        is_slider = isinstance(own, gr.Slider)
        found.append(checks.within(value, own.minimum, own.maximum) if is_slider else value)
    return found


def refused(sentence: str) -> str:
    """Why an argument is not right, in the page's words: "Who races" is empty; allowed: ..."""
    name, rest = sentence.split(maxsplit=1)
    rest = re.sub("^is (None|\\[\\]);", "is empty;", rest)
    return f"{LABELS.get(name, name)} {rest}"


def formula(text: str) -> gr.Markdown:
    """Markdown with formulas between dollar signs."""
    return gr.Markdown(text, latex_delimiters=LATEX)


def guess(name: str) -> tuple[gr.HTML, gr.Radio, gr.HTML]:
    """A question to guess at before its answer is measured: its words, what can be clicked, the answer.

    It stands in nobody's way: the key G hides all of them.
    """
    with gr.Column(elem_classes="guess", elem_id=name):
        question = words(style="question")
        choice = gr.Radio([], label="Your guess", show_label=False, container=False)
        answer = words(style="answer")
    return question, choice, answer


def lettered(advantages: list[float]) -> dict[int, str]:
    """Four samples of a group to guess about, its three best and its worst, with a letter each."""
    order = sorted(range(len(advantages)), key=lambda i: advantages[i])
    return dict(zip(sorted([order[0], *order[-3:]]), "ABCD", strict=True))


def signed(value: float, places: int = 2) -> str:
    sign = "+" if round(value, places) else ""  # zero has none
    return f"{round(value, places) + 0.0:{sign}.{places}f}".replace("-", "−")


def notes(values: list[float], letters: dict[int, str], places: int = 2) -> list[list[str]]:
    """What stands under the samples of a group: a number, after the letter of those that have one."""
    return [[*letters.get(i, ""), signed(value, places)] for i, value in enumerate(values)]


def gained(changed: list[float], advantages: list[float]) -> float:
    """Nats that the samples with a positive advantage gained on the others, on average."""
    up, down = [], []
    for value, advantage in zip(changed, advantages, strict=True):
        (up if advantage > 0 else down).append(value)
    return sum(up) / max(1, len(up)) - sum(down) / max(1, len(down))
