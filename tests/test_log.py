"""Curves that a training keeps in TensorBoard or trackio, where it is asked to."""

import json
import sys
import types

import numpy as np
import pytest
import torch

from core import checkpoints
from core.classifiers import ClassifierStep
from core.log import draw_sheet, logged
from core.place import Place
from core.recipes import find_recipe
from core.stages import Progress
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


class Standin(types.ModuleType):
    """Takes trackio's place: keeps what it is given."""

    def __init__(self):
        super().__init__("trackio")
        self.began, self.points, self.finished = [], [], 0

    def init(self, project, name):
        self.began.append((project, name))

    def Image(self, value):
        assert isinstance(value, np.ndarray) and value.dtype == np.uint8
        return value

    def log(self, metrics, step):
        self.points.append((step, metrics))

    def finish(self):
        self.finished += 1


def test_trackio_gets_every_figure_and_now_and_then_a_sheet(command, tmp_path, monkeypatch):
    trackio = Standin()
    monkeypatch.setitem(sys.modules, "trackio", trackio)
    assert main([*command, "--log", "trackio"]) == 0
    (project, name), *others = trackio.began
    assert project == "tiny-4x4" and name.startswith("scratch/grpo/") and not others and trackio.finished == 1
    for (step, found), expected in zip(trackio.points, curve(tmp_path), strict=True):
        assert step == expected["step"] + 1 and set(found) >= NUMBERS and "step" not in found
        assert found["kl"] == expected["kl"]
        assert found["terms/confidence"] == expected["terms"]["confidence"] == expected["reward"]
    sheets = {step: found["sheet"] for step, found in trackio.points if "sheet" in found}
    assert list(sheets) == [1, 11]
    # Two labels with eight samples each, of 4x4 pixels at 14 times their size, two pixels apart.
    assert sheets[1].shape == (2 * 58 + 2, 8 * 58 + 2, 3)


def test_the_sheet_shows_the_samples_of_the_record():
    place = Place(find_recipe("tiny-4x4"))
    policy = place.new_policy(0)
    tokens = torch.arange(20 * 16).view(20, 16) % 4  # of two labels
    record = types.SimpleNamespace(tokens=tokens, rewards=torch.zeros(2, 10))
    sheet = draw_sheet(policy, record)
    for row, column in ((0, 0), (0, 7), (1, 3)):
        image = sheet[2 + 58 * row : 58 * (row + 1), 2 + 58 * column : 58 * (column + 1), 0][::14, ::14]
        assert torch.equal(image, (85 * tokens[10 * row + column]).view(4, 4).byte())


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


@pytest.mark.parametrize("package", ["tensorboard", "trackio"])
def test_a_missing_package_is_said_before_training_starts(command, tmp_path, package, monkeypatch, capsys):
    for name in [name for name in sys.modules if name.startswith("torch.utils.tensorboard")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, package, None)  # importing it fails, installed or not
    assert main([*command, "--log", package]) == 2
    said = f"error: --log {package} needs a package that is missing: pip install {package}\n"
    assert capsys.readouterr().err == said
    assert not (tmp_path / "runs").exists()


def test_nothing_is_imported_and_nothing_kept_unless_it_is_asked_for(command, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "trackio", None)
    monkeypatch.setitem(sys.modules, "tensorboard", None)
    assert main(command) == 0
    assert not (tmp_path / "runs/log").exists()


def test_a_training_that_counts_epochs_is_logged_as_well(tmp_path, monkeypatch):
    trackio, record = Standin(), ClassifierStep(epoch=0, loss=0.5, accuracy=0.75)
    monkeypatch.setitem(sys.modules, "trackio", trackio)
    assert len(list(logged(iter([Progress(1, 2, "", record)]), "trackio", tmp_path, "classifier"))) == 1
    assert trackio.points == [(1, {"epoch": 0, "loss": 0.5, "accuracy": 0.75})]
