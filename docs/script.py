"""docs/presentation.md as the film has it: scenes, what is said and done in each, and its subtitles."""

import re
import textwrap
from dataclasses import dataclass
from pathlib import Path

PATH = Path(__file__).resolve().parent / "presentation.md"
SCENE = re.compile(
    r"(?P<title>.+)\n\n(\[(?P<link>\S+)\]\(\S+\)|card), (?P<seconds>\d+) seconds\n\n\|.+\n\|.+\n"
    r"(?P<rows>(\|.+\n)+)"
)
ACTION = re.compile(r"(point|click|press|wait)[^`]*`([^`]+)`(?: says “([^”]+)”)?")


@dataclass(frozen=True)
class Scene:
    """Lines over one link of the app: (what is said, what is done). Without a link it is a card."""

    title: str
    link: str
    seconds: int
    lines: list[tuple[str, str]]

    @property
    def effort(self) -> int:
        return sum(effort(says) for says, _ in self.lines)


def effort(says: str) -> int:
    """How long a line takes to say, in letters. A digit takes as long as six."""
    return sum(6 if letter.isdigit() else 1 for letter in says)


def read_script(text: str) -> list[Scene]:
    """The scenes of docs/presentation.md. Raises ValueError, which names a scene that is not written as
    the others are.
    """
    scenes = []
    for part in re.split(r"^### ", text, flags=re.MULTILINE)[1:]:
        found = SCENE.match(part)
        if not found:
            title = part.partition("\n")[0]
            raise ValueError(f"Scene {title!r}: expected a link or “card”, its seconds, and a table.")
        rows = [row.strip().strip("|").split("|") for row in found["rows"].splitlines()]
        lines = [(says.strip(), done.strip()) for says, done in rows]
        scenes.append(Scene(found["title"], found["link"] or "", int(found["seconds"]), lines))
    return scenes


def subtitles(captions: list[tuple[float, float, str]]) -> str:
    """(start, end, text) each, as SubRip."""

    def stamp(seconds: float) -> str:
        whole, thousandths = divmod(round(1000 * seconds), 1000)
        return f"{whole // 3600:02}:{whole // 60 % 60:02}:{whole % 60:02},{thousandths:03}"

    return "\n".join(
        f"{number}\n{stamp(start)} --> {stamp(end)}\n{textwrap.fill(text, 48)}\n"
        for number, (start, end, text) in enumerate(captions, 1)
    )
