"""The patch tokenizer, and guidance as part of a policy's distribution."""

import pytest
import torch

from core.configs import TokenizerConfig
from core.policies import LABELS, gather
from core.tokenizers import PixelTokenizer
from core.transformer import TransformerPolicy, guided, rotary, rotate
from core.vqvae import PatchTokenizer, train_tokenizer


def pictures(count: int, size: int = 12) -> torch.Tensor:
    """Light squares at random places, on dark gray."""
    generator = torch.Generator().manual_seed(0)
    images = torch.full((count, 1, size, size), 0.2)
    for image, (x, y) in zip(
        images, torch.randint(0, size - 4, (count, 2), generator=generator).tolist(), strict=True
    ):
        image[0, y : y + 4, x : x + 4] = 0.8
    return images


@pytest.fixture(scope="module")
def trained():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        tokenizer = PatchTokenizer(12, codes=32, dim=8, channels=16)
    config = TokenizerConfig(codes=32, dim=8, channels=16, steps=200, lr=2e-3, decay=0.9, strength=0.0)
    records = list(train_tokenizer(tokenizer, pictures(500), config, torch.Generator().manual_seed(0)))
    return tokenizer, records


def test_training_lowers_the_error_and_keeps_codes_alive(trained):
    tokenizer, records = trained
    assert records[-1]["mse"] < 0.3 * records[10]["mse"]
    images = pictures(500)
    error = (tokenizer.decode(tokenizer.encode(images)) - images).square().mean()
    assert error < 0.25 * images.var()  # far better than the mean picture
    assert len(tokenizer.encode(images).unique()) > 8


def test_every_vector_gets_its_nearest_code(trained):
    tokenizer, _ = trained
    vectors = torch.randn(50, 8, generator=torch.Generator().manual_seed(1))
    slow = torch.stack([(tokenizer.codebook - vector).square().sum(1).argmin() for vector in vectors])
    assert torch.equal(tokenizer.nearest(vectors), slow)


def test_an_empty_picture_is_what_is_not_drawn_yet(trained):
    tokenizer, _ = trained
    assert tokenizer.decode(tokenizer.encode(torch.zeros(1, 1, tokenizer.size, tokenizer.size))).max() < 0.5
    pixels = PixelTokenizer(4, 3)
    assert pixels.decode(pixels.encode(torch.zeros(1, 1, 4, 4))).max() == 0


def test_bad_sizes_pictures_and_tokens_are_refused_in_words(trained):
    with pytest.raises(ValueError, match="size is 10; a picture cut into patches"):
        PatchTokenizer(10, 8, 4, 4)
    with pytest.raises(ValueError, match=r"expected \(B, 1, 12, 12\)"):
        trained[0].encode(torch.zeros(1, 1, 8, 8))
    with pytest.raises(ValueError, match="tokens range from 0 to 32; allowed: 0 to 31"):
        trained[0].decode(torch.full((1, 9), 32).index_fill(1, torch.tensor([0]), 0))


def noisy(guidance: float = 1.0, tokenizer=None) -> TransformerPolicy:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        policy = TransformerPolicy(
            tokenizer or PixelTokenizer(3, 4), 16, layers=2, heads=2, guidance=guidance
        )
        with torch.no_grad():
            for parameter in policy.parameters():
                if parameter.requires_grad:
                    parameter.add_(0.4 * torch.randn_like(parameter))
    return policy.eval()


@pytest.mark.parametrize("guidance", [1.0, 1.5, 4.0])
@pytest.mark.parametrize("temperature", [0.7, 1.0])
def test_guidance_is_part_of_the_distribution_that_is_scored(guidance, temperature):
    """The paper's code samples with guidance and scores without; here one function does both."""
    policy, labels = noisy(guidance), torch.arange(20) % 10
    rollout = policy.sample(labels, temperature, torch.Generator().manual_seed(0))
    again = gather(policy.log_probs(labels, rollout.tokens, temperature), rollout.tokens)
    torch.testing.assert_close(rollout.log_probs, again, atol=3e-5, rtol=0)


def test_guidance_extrapolates_from_no_label_to_the_label():
    policy, tokens = noisy(), torch.randint(4, (10, 9), generator=torch.Generator().manual_seed(1))
    labels = torch.arange(10)
    with torch.no_grad():
        with_label, without = policy.logits(labels, tokens), policy.logits(torch.full((10,), LABELS), tokens)
        policy.guidance = 3.0
        expected = without + 3.0 * (with_label - without)
        torch.testing.assert_close(policy.logits(labels, tokens), expected, atol=1e-4, rtol=1e-4)
    assert torch.equal(guided(torch.tensor([[2.0], [5.0]]), 1.0), torch.tensor([[2.0]]))


def test_no_label_is_what_an_unlabelled_policy_has_for_every_label():
    policy, tokens = noisy(), torch.zeros(10, 9, dtype=torch.int64)
    for parameter in policy.label_inputs():
        torch.nn.init.zeros_(parameter)
    torch.testing.assert_close(
        policy.logits(torch.arange(10), tokens), policy.logits(torch.full((10,), LABELS), tokens)
    )


@pytest.mark.parametrize("guidance", [0.5, 11, float("nan"), None])
def test_bad_guidance_is_refused_in_words(guidance):
    with pytest.raises(ValueError, match=r"guidance is .*; allowed: 1 to 10"):
        noisy(guidance)


def test_rotations_keep_lengths_and_depend_on_the_offset_only():
    place = torch.arange(16)
    cosine, sine = rotary(place // 4, place % 4, 8)
    query, key = torch.randn(2, 8, generator=torch.Generator().manual_seed(0))
    turned = rotate(query.expand(16, 8), cosine, sine)
    torch.testing.assert_close(turned.norm(dim=1), query.norm().expand(16))
    other = rotate(key.expand(16, 8), cosine, sine)
    # From (0, 0) to (1, 2) is as far as from (2, 1) to (3, 3).
    torch.testing.assert_close(turned[0] @ other[6], turned[9] @ other[15])
    assert not torch.allclose(turned[0] @ other[6], turned[0] @ other[9])


def test_a_policys_tokenizer_travels_with_it_and_is_not_trained(trained):
    policy = noisy(tokenizer=trained[0])
    policy.zero_grad(set_to_none=True)
    assert any(name.startswith("tokenizer.") for name in policy.state_dict())
    assert not any(parameter.requires_grad for parameter in policy.tokenizer.parameters())
    policy.log_probs(torch.tensor([3]), torch.zeros(1, 9, dtype=torch.int64)).sum().backward()
    assert all(parameter.grad is None for parameter in policy.tokenizer.parameters())
