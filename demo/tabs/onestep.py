"""One step: a real group, what its rewards become, and what the update changes, token by token."""

import html

import gradio as gr

from demo import sources
from demo.components import sample_grid, table, words
from demo.engine import GROUPS, UPDATES
from demo.page import AGAIN, Page, View, formula, gained, guess, lettered, notes, signed
from demo.sentences import a_digit
from demo.shipped import TOKENS
from demo.tabs.rewards import advantage_colours

WEIGHTS = {  # what becomes of the rewards: in words, and whose line computes it
    "grpo": ("GRPO: less the group's mean", "advantage"),
    "reinforce": ("REINFORCE: the reward itself", "reinforce"),
    "scaled": ("Divided by the standard deviation", "scaled"),
}
WHICH, KL, SPREAD = range(3)  # the questions


def build(page: Page) -> View:
    engine, lines = page.engine, sources.find_all()
    with gr.Row(elem_classes="slide"):
        with gr.Column(elem_classes="stage"), gr.Row(elem_classes="beside"):
            samples = sample_grid("onestep-samples", choose=True)
            weights = words(style="weights", name="onestep-weights")
        with gr.Column(elem_classes="narrative"):
            says = words(style="claim", name="onestep-says")
            question, choice, answer = guess("onestep-guess")
            with gr.Row(elem_classes="beside"):
                tokens = sample_grid("onestep-tokens", choose=True)
                numbers = words(style="numbers", name="onestep-numbers")
            sums = formula("")
    words(_popovers(lines), "sources")
    with gr.Row(elem_classes="transport"):
        group = gr.Radio(list(GROUPS), value=16, label="Samples in the group", elem_id="onestep-group")
        reset = gr.Button("Start again", min_width=130, elem_id="onestep-reset")
        draw = gr.Button("Draw the next group", min_width=180, elem_id="onestep-draw")
        update = gr.Button("Update", variant="primary", min_width=150, elem_id="onestep-update")
    page.caption(
        "Under each sample: its advantage, or after Update, the nats it gained. Blue: more, orange: less. "
        "Click a sample, a token, or a line of code."
    )
    updates = gr.Number(0, visible=False, precision=0, minimum=0, maximum=UPDATES)
    fresh = gr.Checkbox(True, visible=False)
    chosen = gr.State({})  # the group that is shown, and of it the sample and the token to look at

    def current(recipe, digit, group, updates, fresh, chosen):
        """The group asked for, and what is chosen in it. In another group than before, the server chooses."""
        asked = [recipe, digit, group]
        if chosen.get("group", asked)[:3] != asked:
            updates, fresh = 0, True  # begins anew
        fresh = fresh or not updates
        name = [*asked, updates if fresh else updates - 1]
        # A page that was idle long has no group, and may choose all the same.
        kept = chosen if chosen.get("group", name) == name else {}
        found = engine.one_step(digit, group, updates, fresh, kept.get("sample"), recipe)
        token = kept.get("token")
        if token is None:  # the one that changed most; before the update, the one that was least likely
            before = found["tokens"]["before"]
            score = [-value for value in before] if fresh else [abs(value) for value in _changed(found)]
            token = score.index(max(score))
        return found, {"group": name, "sample": found["sample"], "token": token}

    def details(found, chosen):
        """The chosen sample's tokens, the numbers of one, and the formula that they stand in."""
        side, token = TOKENS[chosen["group"][0]], chosen["token"]
        return [_tokens(found, side, token), _numbers(found, token, lines), _formula(found, token), chosen]

    def show(recipe, digit, group, updates, fresh, chosen, guessed):
        found, now = current(recipe, digit, group, updates, fresh, chosen)
        guessed = guessed if chosen.get("group") == now["group"] else None
        letters = lettered(found["weights"]["grpo"])
        anew = found["updates"] != updates or found["fresh"] != fresh
        return [
            _samples(found, letters),
            _weights(found, lines),
            _says(found, digit),
            *_question(found, letters, guessed, engine.spread(digit, recipe)),
            *details(found, now),
            # Left alone where nothing changed: else a press in the meantime would be undone.
            *((found["updates"], found["fresh"]) if anew else (gr.skip(), gr.skip())),
        ]

    def choose(event: gr.EventData, *values):
        *where, chosen = values
        return details(*current(*where, {**chosen, "sample": event.index, "token": None}))

    def point(event: gr.EventData, *values):
        *where, chosen = values
        return details(*current(*where, {**chosen, "token": event.index}))

    def answered(recipe, digit, group, updates, fresh, chosen, guessed):
        found, _ = current(recipe, digit, group, updates, fresh, chosen)
        spread = engine.spread(digit, recipe)
        return _question(found, lettered(found["weights"]["grpo"]), guessed, spread)[2:]

    where = [page.recipe, page.digit, group, updates, fresh, chosen]
    detail = [tokens, numbers, sums, chosen]
    inputs = [*where, choice]
    outputs = [samples, weights, says, question, choice, answer, *detail, updates, fresh]
    # The browser counts, so that no press is lost: the server takes all updates not yet taken. All three
    # buttons have one event: of several, a late answer to one could replace that to another.
    pressed = gr.on(
        [update.click, draw.click, reset.click],
        None,
        [updates, fresh],
        [updates, fresh],
        js=f"(updates, fresh) => grpo.counted(updates, {UPDATES})",
        api_visibility="private",
        trigger_mode="multiple",
    )
    pressed.then(None, None, None, js=AGAIN)
    page.on(samples.select, choose, where, detail)
    page.on(tokens.select, point, where, detail)
    page.on(choice.input, answered, [*where, choice], [answer])
    page.link("group", group)
    page.link("updates", updates)
    return View(show, inputs, outputs, [group.input])


def _says(found: dict, digit: int) -> str:
    """What the group shows, and whether that is recorded."""
    right, count = found["reads"].count(digit), found["count"]
    if found["fresh"]:
        updates = "1 update" if found["updates"] == 1 else f"{found['updates']} updates"
        after = f"After {updates}, " if found["updates"] else ""
        says = f"{after}<b>{right} of {count}</b> are {a_digit(digit)}. "
        says += f"The mean reward is {found['mean']:.2f}."
    else:
        gap = signed(gained(found["changed"], found["weights"]["grpo"]), 1)
        then = f", at first {found['start_right']}" if found["at"] else ""
        says = f"Update {found['updates']}: the better ones gained <b>{gap} nats</b> on the others. "
        says += f"{right} of {count} are {a_digit(digit)}{then}."
    left = found["recorded"] - found["updates"]
    kept = "Live." if left < 0 else "Recorded."
    if found["updates"] == UPDATES:
        kept += " The last one: the learning rate has fallen to zero."
    elif left == 0:
        kept = "Recorded; the next update is live."
    return f"{says} <small>{kept}</small>"


def _samples(found: dict, letters: dict[int, str]) -> dict:
    """The group; under each its advantage, and after the update how many nats likelier it became."""
    advantages, changed = found["weights"]["grpo"], found["changed"]
    letters = letters if _kind(found) == WHICH else {}
    said = notes(advantages, letters) if found["fresh"] else notes(changed, letters, places=1)
    said = said if found["count"] < 64 else None  # too small to write under
    colours = advantage_colours(advantages, 1.0) if found["fresh"] else advantage_colours(changed)
    chosen = found["sample"]
    return {**found, "notes": said, "colours": colours, "chosen": chosen}


def _kind(found: dict) -> int:
    """The question of a group: another one for each update, and none about samples without notes."""
    kinds = (WHICH, KL, SPREAD) if found["count"] < 64 else (KL, SPREAD)
    return kinds[found["at"] % len(kinds)]


def _weights(found: dict, lines: dict) -> str:
    """What each algorithm makes of the rewards: the group in colours, full where the weight is 1 or more."""
    parts = []
    for name, (says, source) in WEIGHTS.items():
        values = found["weights"][name]
        squares = "".join(f"<i style='background:{colour}'></i>" for colour in advantage_colours(values, 1.0))
        span = f"{signed(min(values))} to {signed(max(values))}"
        parts.append(
            f"<figure><div style='--columns:{found['columns']}'>{squares}</div><figcaption>{says}: {span} "
            f"{_source(source, lines)}</figcaption></figure>"
        )
    return "".join(parts)


def _tokens(found: dict, side: int, token: int) -> dict:
    """One sample's tokens for ``sample_grid``, framed by how much their log-probability changed."""
    before, changed = found["tokens"]["before"], _changed(found)
    names = [
        f"Token {t + 1}: log-probability {then:.2f}, changed by {signed(change)}"
        for t, (then, change) in enumerate(zip(before, changed, strict=True))
    ]
    colours = ["transparent"] * len(changed) if found["fresh"] else advantage_colours(changed)
    row, column = divmod(found["sample"], found["columns"])
    return {
        "sheet": found["sheet"],
        "part": [column, row, found["columns"], found["count"] // found["columns"]],
        "size": found["size"],
        "columns": side,
        "count": len(changed),
        "colours": colours,
        "names": names,
        "chosen": token,
        "says": f"The {len(changed)} tokens of sample {found['sample'] + 1}",
    }


def _changed(found: dict) -> list[float]:
    """How much the update changed each token's log-probability."""
    return [now - then for now, then in zip(found["tokens"]["after"], found["tokens"]["before"], strict=True)]


def _numbers(found: dict, token: int, lines: dict) -> str:
    """The chosen sample's and token's numbers, each with the line that computed it."""
    at, parts = found["sample"], {name: values[token] for name, values in found["tokens"].items()}
    side = round(len(found["values"]) ** 0.5)
    weights = {name: values[at] for name, values in found["weights"].items()}
    low, high = found["clip"]
    rows = [
        (f"<b>Sample {at + 1}</b>: reward", f"{found['rewards'][at]:.3f}", "reward"),
        ("GRPO", signed(weights["grpo"], 3), "advantage"),
        ("REINFORCE", signed(weights["reinforce"], 3), "reinforce"),
        ("÷ deviation", signed(weights["scaled"], 3), "scaled"),
        (
            f"<b>Token {token + 1}</b>: log p",
            f"{signed(parts['before'])} → {signed(parts['after'])}",
            "chance",
        ),
        ("ratio", f"{parts['ratio']:.3f}", "ratio"),
        (f"clip {low:g} to {high:g}", "clipped" if parts["clipped"] else "not clipped", "clip"),
        ("KL", f"{parts['kl']:.4f}", "kl"),
        ("advantage here", signed(parts["advantage"], 3), "token"),
        ("objective", signed(parts["surrogate"] - found["beta"] * parts["kl"], 3), "objective"),
    ]
    place = f"Row {token // side + 1}, column {token % side + 1}, value {found['values'][token]}"
    cells = ((name, value, _source(source, lines)) for name, value, source in rows)
    return f"{table(cells)}<p>{place}. The step: {_source('update', lines)}</p>"


def _formula(found: dict, token: int) -> str:
    """What a token adds to the objective, with its own numbers."""
    part = {name: values[token] for name, values in found["tokens"].items()}
    beta, (low, high) = found["beta"], found["clip"]
    ratio, bounded = part["ratio"], min(max(part["ratio"], low), high)
    advantage = f"{part['advantage']:.3f}" if part["advantage"] >= 0 else f"({part['advantage']:.3f})"
    return (
        rf"$$\min\big(\rho A,\ \mathrm{{clip}}(\rho, {low:g}, {high:g})\, A\big) - \beta\, \mathrm{{KL}}$$"
        rf"$$= \min\big({ratio:.3f} \cdot {advantage},\ {bounded:.3f} \cdot {advantage}\big) - {beta:g} "
        rf"\cdot {part['kl']:.4f} = {part['surrogate'] - beta * part['kl']:.3f}$$"
    )


def _question(found: dict, letters: dict[int, str], guessed: str | None, spread: dict) -> list:
    """The question of this group, what can be guessed, and the answer once it is measured."""
    kind = _kind(found)
    if kind == WHICH:
        asks, choices = "Which of these does the update push up most?", list("ABCD")
        best = max(letters, key=lambda i: found["changed"][i])
        rest = ", ".join(f"{letter} {signed(found['changed'][i], 1)}" for i, letter in letters.items())
        truth, measured = letters[best], f"Measured: {letters[best]} (nats: {rest})."
    elif kind == KL:
        asks, choices = "Does the update raise the KL to the start?", ["yes", "no"]
        before, after = found["kl"]
        truth = "yes" if after > before else "no"
        measured = f"Measured on these samples: {before:.3f} → {after:.3f} nats, so {truth}."
    else:
        asks = "How much does the mean of 64 samples vary, relative to 4?"
        times = {"as much": 1, "half": 2, "a quarter": 4, "a sixteenth": 16}
        choices, ratio = list(times), spread["4"] / max(1e-9, spread["64"])
        truth = min(times, key=lambda name: max(ratio / times[name], times[name] / ratio))
        measured = f"Measured on 1,024 samples of the start: 4 ±{spread['4']:.3f}, 64 ±{spread['64']:.3f}."
    known = not found["fresh"] or (kind == SPREAD and guessed)
    answer = f"You guessed {guessed}. " if guessed in choices else ""
    if known:
        answer = answer.replace(". ", ", and so it is. " if guessed == truth else ". ") + measured
    elif answer:
        answer += "Update measures it."
    choice = gr.Radio(choices, value=guessed if guessed in choices else None, interactive=found["fresh"])
    return [f"Guess first. {asks}" if found["fresh"] else asks, choice, answer]


def _source(name: str, lines: dict) -> str:
    """A file and a line; pressed, the source text is shown."""
    if name not in lines:
        return ""
    where = lines[name]["where"]
    return f"<button type='button' class='source' popovertarget='source-{name}'>{where}</button>"


def _popovers(lines: dict) -> str:
    """The source text of each number, shown when its file and line are pressed."""
    found = []
    for name, source in lines.items():
        code = [html.escape(line) for line in source["text"].splitlines()]
        code[source["line"]] = f"<mark>{code[source['line']]}</mark>"
        text = "\n".join(code)
        found.append(f"<div popover id='source-{name}'><b>{source['where']}</b><pre>{text}</pre></div>")
    return "".join(found)
