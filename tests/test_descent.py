"""The update step: Muon's matrices, who learns at what rate, and products in bfloat16 only where a processor has them."""

import pytest
import torch
from toys import make_policy

from core.descent import descend, fast_products, make_optimizers, set_rates
from core.muon import Muon, orthogonal


@pytest.mark.parametrize("shape", [(16, 48), (48, 16), (32, 32)])
def test_orthogonal_turns_every_singular_value_to_about_one_and_keeps_the_directions(shape):
    matrix = torch.randn(shape, generator=torch.Generator().manual_seed(0)) * 1e-3
    left, values, right = torch.linalg.svd(matrix, full_matrices=False)
    found = left.T @ orthogonal(matrix) @ right.T  # diagonal where the directions are the same
    diagonal = found.diagonal()
    torch.testing.assert_close(found, diagonal.diag(), atol=1e-4, rtol=0)
    seen = values > values.max() / 50
    assert seen.sum() > 10 and 0.6 < diagonal[seen].min() and diagonal.max() < 1.3


def test_muon_takes_a_fused_matrix_for_the_ones_it_holds():
    generator = torch.Generator().manual_seed(0)
    gradients = [scale * torch.randn(8, 8, generator=generator) for scale in (1.0, 1e-3)]
    fused = torch.nn.Parameter(torch.zeros(16, 8))
    fused.grad = torch.cat(gradients)
    Muon([(fused, 2)], lr=1.0).step()
    for half, gradient in zip(fused.detach().chunk(2), gradients, strict=True):
        torch.testing.assert_close(half, -0.2 * 8**0.5 * orthogonal(gradient), atol=1e-4, rtol=1e-3)


def test_muon_finds_a_valley_that_is_narrow_one_way():
    generator = torch.Generator().manual_seed(0)
    goal, stretch = torch.randn(8, 8, generator=generator), torch.logspace(0, -2, 8)
    matrix = torch.nn.Parameter(torch.zeros(8, 8))
    optimizers = [Muon([(matrix, 1)], lr=0.3)]
    for step in range(200):
        set_rates(optimizers, 1 - step / 200)
        optimizers[0].zero_grad()
        ((matrix - goal) * stretch).square().sum().backward()
        optimizers[0].step()
    assert (matrix - goal).square().mean() < 0.01 * goal.square().mean()


@pytest.mark.parametrize("kind", ["transformer", "lstm"])
def test_every_parameter_learns_once_and_at_its_own_rate(kind):
    policy = make_policy(kind)
    optimizers = make_optimizers(policy, lr=1e-3, label_lr=5, matrix_lr=2e-3)
    set_rates(optimizers, 0.5)
    rates = {id(parameter): group["lr"] for one in optimizers for group in one.param_groups for parameter in group["params"]}
    held = [parameter for one in optimizers for group in one.param_groups for parameter in group["params"]]
    assert len(held) == len(rates) == len(list(policy.parameters()))
    assert all(rates[id(parameter)] == pytest.approx(2.5e-3) for parameter in policy.label_inputs())
    assert policy.matrices() and all(rates[id(matrix)] == pytest.approx(1e-3) for matrix, _ in policy.matrices())
    assert rates[id(policy.head.weight)] == pytest.approx(5e-4)


def test_a_gradient_that_is_no_number_updates_nothing():
    policy = make_policy("lstm")
    before = [parameter.detach().clone() for parameter in policy.parameters()]
    losses = [parameter.sum() * float("nan") for parameter in policy.parameters()]
    with pytest.raises(FloatingPointError, match=r"it diverged; lower lr"):
        descend(losses, policy, make_optimizers(policy, lr=1.0), 1.0, "it diverged; lower lr.")
    assert all(torch.equal(one, other) for one, other in zip(before, policy.parameters(), strict=True))


@pytest.mark.parametrize("name, native", [("amx_bf16", True), ("avx512_bf16", True), ("avx2", False)])
def test_bfloat16_only_where_the_processor_multiplies_in_it(name, native, monkeypatch):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {name: True})
    with fast_products():
        assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype == (torch.bfloat16 if native else torch.float32)
