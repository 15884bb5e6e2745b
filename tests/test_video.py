"""The script of the film: its links, its length, what is said; and how pictures and captions are timed."""

import re
from datetime import timedelta
from urllib.parse import parse_qsl

import pytest

pytest.importorskip("playwright")

from demo.engine import Engine
from demo.ui import assemble, read_link
from docs.script import ACTION, PATH, read_script, subtitles
from docs.video import RATE, at_rate

TEXT = PATH.read_text(encoding="utf-8")
SCENES = read_script(TEXT)


def test_every_link_of_the_script_is_right():
    page = assemble(Engine())
    for scene in SCENES:
        query = dict(parse_qsl(scene.link, strict_parsing=bool(scene.link)))
        values, refused = read_link(page, query)
        assert refused == [] and set(values) == set(query) - {"guess"}, scene.title
        assert not scene.link or f"/?{scene.link}&presenter=1)" in TEXT, "the link to click is another one"


def test_it_lasts_five_minutes_and_leaves_time_to_speak():
    assert re.findall(r"^## (.+)", TEXT, re.MULTILINE) == [
        "1. The problem",
        "2. The approach",
        "3. Demo and results",
        "4. The paper",
        "Questions",
    ]
    assert 270 <= sum(scene.seconds for scene in SCENES) <= 299  # a scene may take a moment longer
    words = [sum(len(says.split()) for says, _ in scene.lines) for scene in SCENES]
    assert all(count / scene.seconds <= 150 / 60 for count, scene in zip(words, SCENES, strict=True))


def test_every_line_fits_its_strip_and_says_what_is_done_in_words_that_the_program_knows():
    for scene in SCENES:
        for says, done in scene.lines:
            assert 0 < len(says) <= 100, says
            if scene.link:
                assert done.count("`") == 2 * len(ACTION.findall(done)), done
                assert all(words for verb, _, words in ACTION.findall(done) if verb == "wait"), done


def test_a_scene_that_is_written_otherwise_is_named():
    with pytest.raises(ValueError, match="Scene 'Squares'"):
        read_script(TEXT.replace("step=1&presenter=1), 15 seconds", "step=1&presenter=1)", 1))


def test_a_picture_stands_until_the_next_one_came():
    frames = [(9.9, b"a"), (10.5, b"b"), (10.51, b"c"), (11.7, b"d")]
    shown = b"".join(at_rate(frames, 10.0, 1.5))
    assert len(shown) == 1.5 * RATE
    assert shown == b"a" * 15 + b"b" + b"c" * 29


def test_subtitles_are_subrip():
    captions = [
        (0.0, 6.9996, "A line"),
        (7.0, 61.25, "a longer line, which is broken " * 3),
        (3661, 3662, "late"),
    ]
    blocks = subtitles(captions).rstrip("\n").split("\n\n")
    assert len(blocks) == len(captions)
    for number, (block, (start, end, text)) in enumerate(zip(blocks, captions, strict=True), 1):
        head, times, *lines = block.split("\n")
        assert head == str(number)
        found = re.fullmatch(r"(\d\d):(\d\d):(\d\d),(\d{3}) --> (\d\d):(\d\d):(\d\d),(\d{3})", times)
        numbers = [int(part) for part in found.groups()]
        for (hours, minutes, seconds, thousandths), wanted in zip(
            (numbers[:4], numbers[4:]), (start, end), strict=True
        ):
            span = timedelta(hours=hours, minutes=minutes, seconds=seconds, milliseconds=thousandths)
            assert span.total_seconds() == pytest.approx(wanted, abs=5e-4)
        assert " ".join(lines) == " ".join(text.split()) and all(len(line) <= 48 for line in lines)
