"""A second of film from the real app: size, rate, length, and the caption in the picture."""

import json
import os
import shutil
import subprocess

import numpy as np
import pytest

from docs.script import Scene
from docs.video import MP4, SIZE, Film

pytestmark = pytest.mark.browser


def test_a_scene_becomes_a_film_of_its_length_with_its_caption_burnt_in(browser, address, tmp_path):
    if not shutil.which("ffmpeg") and not os.environ.get("CI"):
        pytest.skip("no ffmpeg on this machine")
    path, page = tmp_path / "film.mp4", browser.new_page(viewport=SIZE)
    film = Film(page, f"{address}/", path, MP4)
    scene = Scene("A group", "tab=story&step=2", 1, [("Now ask it for a seven.", "point `#story-grid-1`")])
    film.open(scene)
    film.record(scene)
    film.finish()
    page.close()
    probe = ["ffprobe", "-v", "error", "-show_streams", "-show_format", "-of", "json", path]
    found = json.loads(subprocess.run(probe, check=True, capture_output=True).stdout)
    [stream] = found["streams"]
    assert (stream["width"], stream["height"], stream["r_frame_rate"]) == (1920, 1080, "30/1")
    assert film.seconds >= 1 and float(found["format"]["duration"]) == pytest.approx(film.seconds, abs=0.05)
    assert [says for _, _, says in film.captions] == ["Now ask it for a seven."]

    still = ["-sseof", "-0.5", "-i", path, "-frames:v", "1", "-f", "rawvideo", "-pix_fmt", "gray", "-"]
    picture = subprocess.run(["ffmpeg", "-v", "error", *still], check=True, capture_output=True).stdout
    strip = np.frombuffer(picture, np.uint8).reshape(1080, 1920)[-62:]
    assert np.median(strip) < 60 and 0.005 < (strip > 200).mean() < 0.2  # light letters on a dark strip
