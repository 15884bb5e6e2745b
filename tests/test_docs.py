"""README, report, review, concepts and notebook: as long as they should be, and true."""

import copy
import doctest
import json
import re

import nbformat
import pytest
import torch
from nbclient import NotebookClient

from core import checkpoints
from core.checkpoints import fingerprint
from core.recipes import ONE_DIGIT
from docs import build

SOURCES = {name: (build.DOCS / "sources" / f"{name}.md").read_text("utf-8") for name in build.DOCUMENTS}
NOTEBOOK = build.DOCS / "walkthrough.ipynb"
FACTS = (  # numbers of the world, which no training changes
    r"95 % intervals",
    r"arXiv 2508\.06924(, 2025)?",
    r"arXiv 2402\.03300,\s2024",
    r"Python 3\.11 to 3\.14; about 6 GB",
    r"macOS 14",
    r"https?://\S+",
    r"Diffusion 3\.5",
    r"Qwen2\.5-VL",
    r"\b\d+x\d+\b",
    r"in 32 bits",
    r"16 \\log 4 \\approx 22\.2",
    r"10\^\{-5\}",
    r"\{width=\d+%\}",
)


def prose(source: str) -> str:
    """A source without its expressions, its code, its references and the facts that may be typed in."""
    source = re.sub(r"\A---.*?^---$", "", source, flags=re.DOTALL | re.MULTILINE)
    taken = (r"<!--.*?-->", r"\{\{.*?\}\}", r"\{%.*?%\}", r"```.*?```", r"`[^`]*`", r"\]\([^)]*\)", r"@\w+")
    for pattern in (*taken, *FACTS):
        source = re.sub(pattern, " ", source, flags=re.DOTALL)
    return source


@pytest.mark.parametrize("name", build.DOCUMENTS)
def test_a_document_is_what_its_source_and_the_measurements_give(name):
    found = build.DOCUMENTS[name].read_text(encoding="utf-8")
    assert found == build.markdown(name), "run: python -m docs.build"


NUMBER = r".{0,30}\d[\d.,]*[\d%].{0,20}|.{0,30}\d %.{0,20}"  # of two digits and more, or in percent


@pytest.mark.parametrize("name", build.DOCUMENTS)
def test_no_measured_number_is_typed_in(name):
    assert re.findall(NUMBER, prose(SOURCES[name])) == []


def test_a_number_that_is_typed_in_would_be_found():
    for typed in ("after 5,920 samples", "in 42 steps", "reaches 98.9 %", "reaches 7 %", "95% of them"):
        assert re.findall(NUMBER, prose(f"GRPO {typed} at 8x8 and {{{{ measured('a', 'b') }}}}."))
    assert not re.findall(NUMBER, prose("GRPO draws {{ measured('a', 'b', 10) }} of 7 at 28x28."))


def test_the_report_has_the_length_that_the_course_asks_for_and_the_readme_is_short():
    report = build.markdown("report").split("\n## References")[0]
    for pattern in (r"<!--.*?-->", r"<figure>.*?</figure>", r"\$\$.*?\$\$", r"^\|.*$"):
        report = re.sub(pattern, "", report, flags=re.DOTALL if pattern[0] != "^" else re.MULTILINE)
    assert 1000 <= len(report.split()) <= 1500
    assert len((build.ROOT / "README.md").read_text(encoding="utf-8").splitlines()) <= 130


def test_every_reference_is_cited_and_every_citation_is_a_reference():
    references = (build.DOCS / "references.bib").read_text(encoding="utf-8")
    texts = re.sub(r"\{\{.*?\}\}|`[^`]*`", "", SOURCES["report"] + SOURCES["literature"])
    known = re.findall(r"^@\w+\{(\w+),", references, re.MULTILINE)
    assert len(set(known)) == len(known) and set(re.findall(r"@(\w+)", texts)) == set(known)


def test_links_to_files_lead_somewhere():
    for name, path in build.DOCUMENTS.items():
        links = re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)|src=\"([^\"]+)\"", build.markdown(name))
        for link in {first or second for first, second in links}:
            assert (path.parent / link).exists(), (name, link)


def test_words_follow_the_figures(monkeypatch):
    """Where REINFORCE needs fewer samples than GRPO, the report says that the claim fails; a tie is a tie."""
    changed, real = copy.deepcopy(build.metrics("pixels-8x8")), build.metrics
    monkeypatch.setattr(build, "metrics", lambda recipe: changed if recipe == "pixels-8x8" else real(recipe))
    runs = changed["runs"]["steer"]
    runs["grpo"]["samples"]["0.9"].update(mean=5000, interval=500, each=[4800, 5200])
    for mean, says in ((1000, "the claim fails"), (5100, "a tie"), (20_000, "the claim holds")):
        runs["reinforce"]["samples"]["0.9"].update(mean=mean, interval=500, each=[mean - 200, mean + 200])
        claim = build.resolve("report").split("more sample-efficient than REINFORCE")[1]
        assert f"{mean:,} ± 500: {says}." in claim


def test_figures_differ_only_beyond_their_intervals():
    low, high = build.about(10, 3, "10"), build.about(15, 3, "15")
    assert not low < high and not high < low and build.choose(low, high, "less", "tie", "more") == "tie"
    assert low < build.about(17, 3, "")
    assert build.about(10, None, "") < build.about(12.5, None, "")
    assert not build.about(10, None, "") < build.about(12, None, "")  # a fifth more
    never = build.Figure(float("inf"), float("inf"), float("inf"), "never")
    some = build.Figure(float("inf"), 12, float("inf"), "12 to never")
    assert low < never and not never < never and never > low
    assert not low < some and build.about(10, 1, "") < some and not some < never and not never < some


def test_a_line_of_code_that_is_gone_is_missed():
    number, text = build.find("core/objectives.py", "return torch.minimum(")
    lines = (build.ROOT / "core" / "objectives.py").read_text(encoding="utf-8").splitlines()
    assert lines[number - 1].strip() == text
    with pytest.raises(ValueError, match="has 0 lines that begin with"):
        build.find("core/objectives.py", "return torch.maximum(")


def test_sixteen_pixels_print_what_the_text_says():
    with torch.random.fork_rng():
        failed, tried = doctest.testfile(str(build.DOCUMENTS["concepts"]), module_relative=False)
    assert tried > 20 and failed == 0


@pytest.mark.parametrize("name", build.PRINTED)
def test_report_and_review_become_html_that_stands_alone_and_pdf(name, tmp_path):
    build.print_(name, tmp_path)
    html = (tmp_path / f"{name}.html").read_text(encoding="utf-8")
    assert "<math" in html and "<script" not in html
    assert html.count('src="data:image/png') == html.count("<img") == SOURCES[name].count("![")
    assert (tmp_path / f"{name}.pdf").read_bytes().startswith(b"%PDF")


def test_the_notebook_runs_and_its_pictures_are_of_the_policy_that_ships():
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    printed = json.dumps([cell.get("outputs", []) for cell in notebook.cells])
    assert fingerprint(checkpoints.ROOT / "pixels-8x8" / "unlabelled") in printed, (
        "run: jupyter execute --inplace docs/walkthrough.ipynb"
    )
    assert str(ONE_DIGIT) in printed, "trained with other settings: run the same"
    setup = next(cell for cell in notebook.cells if "SECONDS = 60" in cell.source)
    setup.source = setup.source.replace("SECONDS = 60", "SECONDS = 1")
    NotebookClient(notebook, timeout=110, resources={"metadata": {"path": str(build.DOCS)}}).execute()
