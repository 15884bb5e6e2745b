"""What figures say, in words: who is better in what, what a mistake costs, what is paid."""

import math


def a_digit(digit: int) -> str:
    """a 7, an 8."""
    return f"an {digit}" if digit == 8 else f"a {digit}"


def mixed(rewards: dict[str, float]) -> str:
    """A weighted sum of reward terms in words: confidence + 0.5 × little ink."""
    parts = [f"{weight:g} × {name}" if weight != 1 else name for name, weight in rewards.items()]
    return " + ".join(parts).replace("_", " ")


def samples_to(measured: dict, level: str = "0.9") -> str:
    """The fewest and the most samples, in thousands, that a run's seeds need to be right that often, or how
    many of them get there; empty where nothing was measured, or the start is right that often already.
    """
    found = measured.get("samples", {}).get(level)
    if not found or found["above"]:
        return ""
    each = found["each"]
    if None in each:
        return f"{len(each) - each.count(None)} of {len(each)} seeds"
    ends = dict.fromkeys(f"{samples / 1000:.1f}" for samples in (each[0], each[-1]))
    return f"{'–'.join(ends)}k"


def verdict(reinforce: dict, grpo: dict) -> str:
    """What 100 samples of each say of REINFORCE and GRPO, in a sentence or two; a tie is called one.

    Near-twins are not compared where a 1 is asked for: real ones look alike as well.
    """
    found, count = [], grpo["count"]
    own, other = len(grpo["wall"]["twins"]), len(reinforce["wall"]["twins"])
    if abs(own - other) >= 15 and grpo["wall"]["digit"] != 1:
        name, most, rest = ("REINFORCE", other, own) if other > own else ("GRPO", own, other)
        found.append(f"{name} repeats itself: {most} of its {count} are near-twins, against {rest}.")
    if max(grpo["kl"], reinforce["kl"]) > 1.5 * min(grpo["kl"], reinforce["kl"]) + 0.1:
        name, less, more = "GRPO", grpo["kl"], reinforce["kl"]
        if more < less:
            name, less, more = "REINFORCE", more, less
        found.append(f"{name} stays closer to its start: {less:.1f} nats against {more:.1f}.")
    (low, high), (other_low, other_high) = grpo["interval"], reinforce["interval"]
    right, other = grpo["right"], reinforce["right"]
    if low > other_high:
        found.insert(0, f"GRPO is right more often: {right} of {count} against {other}.")
    elif other_low > high:
        found.insert(0, f"REINFORCE is right more often: {other} of {count} against {right}.")
    else:
        found.append(f"In success {count} samples show no clear difference: GRPO {right}, REINFORCE {other}.")
    if grpo["wall"]["digit"] == 1:
        found.append("Classifier and judge take a blank square for a 1.")
    return " ".join(found)


FIGURES = {  # of a mistake: its words, whether more is better, and the least difference that counts
    "success": ("success {} ({:.1%}, done right {:.1%})", True, 0.005),
    "coverage": ("coverage {} ({:.2f}, done right {:.2f})", True, 0.02),
    "kl": ("the KL to the pretrained start {} ({:.1f} nats, done right {:.1f})", False, 0.2),
}


def finding(measured: dict | None) -> str:
    """What a mistake and the same done right came to over seeds, in a sentence.

    A difference counts if it is larger than the 95 % intervals of both means together. Otherwise it is left
    open; one that is next to nothing is left out where there is harm.
    """
    if measured is None:
        return "Not measured for these weights yet: python -m core.evaluate --mistakes does it."
    harm, good, same, unsure = [], [], [], []
    for name, (words, more_is_better, least) in FIGURES.items():
        wrong, right = measured["mistake"][name], measured["right"][name]
        change = wrong["mean"] - right["mean"]
        doubt = math.hypot(wrong["interval"] or 0, right["interval"] or 0)
        if abs(change) <= max(doubt, least):
            said = words.format("shows no clear difference", wrong["mean"], right["mean"])
            same.append(said)
            if abs(change) > least:
                unsure.append(said)
        else:
            way = "rises" if change > 0 else "falls"
            said = words.format(way, wrong["mean"], right["mean"])
            (good if (change > 0) == more_is_better else harm).append(said)
    seeds = f"over {measured['seeds']} seeds"
    if harm:
        though = f", though {listed(good)}" if good else ""
        doubtful = f"; {listed(unsure)}" if unsure else ""
        says = f"Harm, {seeds}: {listed(harm)}{though}{doubtful}."
    elif good:
        says = f"Here it does no harm, {seeds}: {listed(good)}."
    else:
        says = f"Here it does no harm that can be measured, {seeds}: {listed(same)}."
    return says.replace("%", " %")


def listed(parts: list[str]) -> str:
    """Parts of a sentence, with commas and "and"."""
    return " and ".join(filter(None, [", ".join(parts[:-1]), parts[-1]]))
