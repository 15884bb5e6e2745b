"""What not to draw: the policy comes to what rejection sampling draws, and failures are pushed away only so far."""

import pytest
import torch
from test_policies import every_picture
from toys import Brightness, make_policy

from core.configs import UnlikelihoodConfig
from core.policies import gather
from core.unlikelihood import unlikelihood

SMALL = {"pictures": 4000, "batch": 64, "steps": 300, "lr": 1e-2, "matrix_lr": 0.0, "warmup": 5}
PICTURES = every_picture(4, 2)


class Corner(torch.nn.Module):
    """Sure of the even labels, a fifth for each, where the last pixel is bright, and of the odd ones where it is dark."""

    def forward(self, images):
        bright = images[:, 0, -1, -1]
        return 20 * torch.stack([bright, 1 - bright] * 5, 1)


def passes(label):
    """(16,) whether each picture is what Corner wants for a label."""
    return PICTURES[:, -1] == 1 - label % 2


def chances(policy, label):
    """(16,) chance of every picture."""
    labels = torch.full((16,), label)
    with torch.no_grad():
        return gather(policy.log_probs(labels, PICTURES), PICTURES).sum(1).exp()


def trained(**changes):
    """Start, policy and records."""
    reference, policy = make_policy("lstm"), make_policy("lstm")
    config = UnlikelihoodConfig(**{**SMALL, "sure": 0.15, **changes})
    return reference, policy, list(unlikelihood(policy, reference, Corner(), config, torch.Generator().manual_seed(0)))


def test_with_a_factor_of_one_it_learns_what_rejection_sampling_draws():
    """By enumeration: a picture's chance among those that pass. All else would be drift."""
    reference, policy, records = trained(factor=1.0, floor=100.0)
    assert [record.part for record in records] == ["drawing"] * 8 + ["policy"] * 300
    assert {record.samples for record in records[8:]} == {4000}
    for label in (0, 1):
        wanted = chances(reference, label) * passes(label)
        wanted = wanted / wanted.sum()
        before, after = (0.5 * (chances(one, label) - wanted).abs().sum() for one in (reference, policy))  # total variation
        assert before > 0.2 and after < 0.25 * before


def test_a_factor_overdoes_it_and_the_floor_ends_it():
    """Nats by which the chance to fail falls. A floor of two lets no failure fall much further than that."""
    fallen = {}
    for factor, floor in ((1.0, 100.0), (4.0, 100.0), (4.0, 2.0)):
        reference, policy, _ = trained(factor=factor, floor=floor, steps=150)
        before, after = (chances(one, 0)[~passes(0)].sum().log().item() for one in (reference, policy))
        fallen[factor, floor] = before - after
    assert fallen[4.0, 100.0] > fallen[1.0, 100.0] + 2
    assert 1.5 < fallen[4.0, 2.0] < 2.5


@pytest.mark.parametrize(("sure", "words"), [(0.0, r"sure of all of 500"), (0.999, r"sure of none of 500")])
def test_pictures_that_say_nothing_are_refused_in_words(sure, words):
    config = UnlikelihoodConfig(pictures=500, sure=sure, steps=1)
    with pytest.raises(ValueError, match=words):
        list(unlikelihood(make_policy("lstm"), make_policy("lstm"), Brightness(), config, torch.Generator()))
