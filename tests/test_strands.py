import pytest
import torch
from toys import make_policy

from core.strands import SPARED, Strands


def often_alike(size: int = 4, levels: int = 3):
    """A policy that prefers one token, so that many pictures begin alike."""
    policy = make_policy("corner", size, levels)
    with torch.no_grad():
        policy.head.bias[0] += 2
    return policy


@pytest.mark.parametrize("given", [0, 3])
def test_pictures_drawn_together_are_those_drawn_one_by_one(given):
    policy, labels = often_alike(), torch.arange(3).repeat(40)
    generator = torch.Generator().manual_seed(0)
    prefix = torch.randint(3, (3, given), generator=generator).repeat(40, 1)  # the same for every picture of a label
    noise = -torch.empty(16, 120, 3).exponential_(generator=generator).log()
    with torch.inference_mode():
        tokens, logits = policy._generate(labels, noise, prefix)
        alone = [policy._generate(labels[[i]], noise[:, [i]], prefix[[i]]) for i in range(120)]
    assert torch.equal(tokens, torch.cat([one for one, _ in alone]))
    torch.testing.assert_close(logits, torch.cat([one for _, one in alone]), atol=1e-5, rtol=0)


def test_what_has_begun_alike_is_computed_once(monkeypatch):
    policy, labels, computed = often_alike(), torch.arange(3).repeat(40), []

    def counted(strands, t, out, step=Strands.step):
        computed.append(len(strands.canvas))
        step(strands, t, out)

    monkeypatch.setattr(Strands, "step", counted)
    tokens = policy.sample(labels, generator=torch.Generator().manual_seed(0)).tokens
    seen = torch.cat([labels[:, None], tokens], 1)
    expected = [len(seen[:, : t + 1].unique(dim=0)) for t in range(16)]
    shared = [n <= 120 - SPARED for n in expected]
    assert computed == [n if own else 120 for n, own in zip(expected, shared, strict=True)]
    assert shared[0] and not shared[-1]  # both happened


def test_a_few_pictures_go_without_sharing(monkeypatch):
    policy = often_alike()
    monkeypatch.setattr(Strands, "_part", None)
    policy.sample(torch.zeros(SPARED, dtype=torch.int64))
