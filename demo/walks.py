"""A group of One step: how it is packed, and what is shown of it. Without torch, so that a recorded one is
shown before that is imported.
"""

import base64
import json
import lzma


def pack(group: dict) -> str:
    """A group, see ``answers.in_walk``, as text of a fifth to a third of its length."""
    return base64.b64encode(lzma.compress(json.dumps(group, separators=(",", ":")).encode())).decode()


def unpack(text: str) -> dict:
    return json.loads(lzma.decompress(base64.b64decode(text)))


def view(group: dict, fresh: bool, sample: int | None) -> dict:
    """What is shown of a group, and of one of its samples token by token.

    Args:
        group: see ``answers.in_walk``.
        fresh: as it was drawn, otherwise after the update that it taught.
        sample: None is the one with the largest advantage.
    """
    shown, before = group["shown"], group["before"]
    now = before if fresh else group["after"]
    advantages = shown["weights"]["grpo"]
    sample = advantages.index(max(advantages)) if sample is None else sample
    scores = {name: values[sample] for name, values in now["tokens"].items()}
    after = scores.pop("log_probs")
    return {
        **shown,
        "fresh": fresh,
        "changed": now["changed"],
        "kl": [before["kl"], now["kl"]],
        "sample": sample,
        "values": group["values"][sample],
        "tokens": {
            "before": before["tokens"]["log_probs"][sample],
            "after": after,
            "advantage": group["advantages"][sample],
            **scores,
        },
    }
