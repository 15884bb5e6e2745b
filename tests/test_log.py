"""Curves that a training keeps in TensorBoard, where it is asked to."""

import json
import sys
import types

import pytest
import torch

from core import checkpoints
from core.place import Place
from core.recipes import find_recipe
from core.stages import logged, sheet
from core.train import main

NUMBERS = {"reward", "terms/confidence", "success", "kl", "entropy", "clip_fraction", "gradient_norm"}


@pytest.fixture
def command(tmp_path):
    """A short run on networks that have learned nothing, of two labels with nine samples each."""
    place = Place(find_recipe("tiny-4x4"), tmp_path / "ship")
    for name in ("classifier", "judge"):
        shape = {"size": 4, "width": 4}
        checkpoints.save(place.folder(name), checkpoints.build(name, shape), name, shape, {})
    words = "grpo --recipe tiny-4x4 --task scratch --digits 3 4 --steps 12 --group 9".split()
    return [*words, "--checkpoints", str(tmp_path / "ship"), "--runs", str(tmp_path / "runs")]


def curve(folder) -> list[dict]:
    return json.loads((folder / "runs/tiny-4x4/scratch/grpo/seed-0/curve.json").read_text())


def test_the_sheet_shows_the_samples_of_the_record():
    tokens = torch.arange(20 * 16).view(20, 16) % 4  # of two labels
    images = (tokens / 3).view(20, 1, 4, 4)
    shown = sheet(types.SimpleNamespace(images=images, rewards=torch.zeros(2, 10)))
    for row, column in ((0, 0), (0, 7), (1, 3)):
        image = shown[0, 2 + 58 * row : 58 * (row + 1), 2 + 58 * column : 58 * (column + 1)][::14, ::14]
        assert torch.equal(image, images[10 * row + column, 0])


def test_tensorboard_reads_back_what_was_kept(command, tmp_path):
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    assert main([*command, "--log", "tensorboard"]) == 0
    (folder,) = (tmp_path / "runs/log/tiny-4x4/scratch/grpo").iterdir()
    events = accumulator.EventAccumulator(str(folder)).Reload()
    assert set(events.Tags()["scalars"]) >= NUMBERS
    for name in ("reward", "kl", "entropy"):
        found = [(event.step, event.value) for event in events.Scalars(name)]
        assert found == [(point["step"] + 1, pytest.approx(point[name])) for point in curve(tmp_path)]
    sheets = events.Images("sheet")
    assert [event.step for event in sheets] == [1, 11] and (sheets[0].width, sheets[0].height) == (466, 118)


def test_a_missing_package_is_said_before_training_starts(command, tmp_path, monkeypatch, capsys):
    for name in [name for name in sys.modules if name.startswith("torch.utils.tensorboard")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "tensorboard", None)  # importing it fails, installed or not
    assert main([*command, "--log", "tensorboard"]) == 2
    said = "error: --log needs a package that is missing: pip install tensorboard\n"
    assert capsys.readouterr().err.endswith(said)
    assert not (tmp_path / "runs").exists()


def test_nothing_is_imported_and_nothing_kept_unless_it_is_asked_for(command, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorboard", None)
    assert main(command) == 0
    assert not (tmp_path / "runs/log").exists()


def test_a_training_that_counts_epochs_is_logged_as_well(tmp_path):
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    assert len(list(logged(iter([{"epoch": 0, "loss": 0.5, "accuracy": 0.75}]), tmp_path))) == 1
    events = accumulator.EventAccumulator(str(tmp_path)).Reload()
    assert [(event.step, event.value) for event in events.Scalars("accuracy")] == [(1, 0.75)]
