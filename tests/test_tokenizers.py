import pytest
import torch

from core.classifiers import DigitClassifier, Judge
from core.tokenizers import PixelTokenizer


@pytest.mark.parametrize(("size", "levels"), [(2, 2), (4, 4), (8, 16), (8, 256), (5, 7)])
def test_its_own_tokens_survive_the_round_trip(size, levels):
    tokenizer = PixelTokenizer(size, levels)
    tokens = torch.arange(levels).repeat(size * size)[: levels * size * size].view(levels, size * size)
    images = tokenizer.decode(tokens)
    assert images.shape == (levels, 1, size, size) and images.min() == 0 and images.max() == 1
    assert torch.equal(tokenizer.encode(images), tokens)


def test_a_pixel_goes_to_its_nearest_level():
    tokenizer = PixelTokenizer(2, 3)
    images = torch.tensor([0.0, 0.24, 0.26, 0.76]).view(1, 1, 2, 2)
    assert tokenizer.encode(images).tolist() == [[0, 0, 1, 2]]


def test_tokens_run_row_by_row():
    tokens = torch.tensor([[0, 1, 2, 3]])
    assert (PixelTokenizer(2, 4).decode(tokens) * 3).round().tolist() == [[[[0, 1], [2, 3]]]]


@pytest.mark.parametrize(
    ("images", "error", "words"),
    [
        (torch.zeros(1, 1, 2, 2, dtype=torch.uint8), TypeError, "torch.uint8"),
        ([[0.0]], TypeError, "list"),
        (torch.zeros(1, 2, 2), ValueError, r"expected \(B, 1, 2, 2\)"),
        (torch.zeros(1, 1, 2, 3), ValueError, r"\(1, 1, 2, 3\)"),
        (torch.full((1, 1, 2, 2), 1.01), ValueError, r"outside \[0, 1\]"),
        (torch.full((1, 1, 2, 2), float("nan")), ValueError, "NaN"),
    ],
)
@pytest.mark.parametrize("read", [PixelTokenizer(2, 4).encode, DigitClassifier(2, 4), Judge(2, 4)])
def test_bad_pictures_are_refused_in_words(images, error, words, read):
    with pytest.raises(error, match=words):
        read(images)


@pytest.mark.parametrize(
    ("tokens", "error", "words"),
    [
        (torch.zeros(1, 4), TypeError, "float32"),
        (torch.zeros(1, 5, dtype=torch.int64), ValueError, r"expected \(B, 4\)"),
        (torch.full((1, 4), 4), ValueError, "allowed: 0 to 3"),
        (torch.full((1, 4), -1), ValueError, "from -1"),
    ],
)
def test_bad_tokens_are_refused_in_words(tokens, error, words):
    with pytest.raises(error, match=words):
        PixelTokenizer(2, 4).decode(tokens)


@pytest.mark.parametrize(("size", "levels"), [(0, 4), (65, 4), (2.0, 4), (4, 1), (4, 257)])
def test_impossible_shapes_are_refused(size, levels):
    with pytest.raises(ValueError, match=r"high and wide|gray levels"):
        PixelTokenizer(size, levels)
