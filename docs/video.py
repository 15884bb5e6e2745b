"""The film of docs/presentation.md: python -m docs.video writes runs/video/film.mp4 and film.srt.

The page is the script: of every scene a link of the app and its seconds, then line by line what is said (the
captions) and what is done. Chromium is driven through it in presenter mode and recorded in real time: a frame
stands from the moment at which the browser painted it until the next one came. So a slow machine gives fewer
pictures, and the clock stays right. Needs playwright, Chromium and ffmpeg; espeak-ng for --voice.
"""

import argparse
import html
import re
import shutil
import subprocess
import time
import wave
from collections.abc import Iterator, Sequence
from pathlib import Path

from playwright.sync_api import Page, TimeoutError, sync_playwright

from demo.ui import serve
from docs.screenshots import FOLDER as IMAGES
from docs.screenshots import chromium
from docs.script import ACTION, PATH, Scene, effort, read_script, subtitles

ROOT = Path(__file__).resolve().parents[1]
FOLDER = ROOT / "runs" / "video"
SIZE = {"width": 1920, "height": 1080}
RATE = 30  # frames a second
FFMPEG = ("ffmpeg", "-y", "-loglevel", "error")
MP4 = ("-c:v", "libx264", "-preset", "veryfast", "-crf", "20", "-pix_fmt", "yuv420p")
COLOURS = "split [a][b]; [a] palettegen=stats_mode=diff [palette]; [b][palette] paletteuse=dither=none"
GIF = ("-vf", f"fps=8, scale=960:-1:flags=area, {COLOURS}")
STYLE = """ /* The strip of the slide's own caption becomes ours, and higher; the rest a little smaller. */
:root.presenter { --caption: 2.65rem; font-size: calc(100vh / 46.15); }
.presenter .caption { background: #1d2a3a; color: transparent; }
"""
CAPTION = """<p style="position: fixed; inset: auto 0 0; margin: 0; font: 40px/62px sans-serif; color: #fff;
text-align: center; background: #1d2a3a">{}</p>"""
POINTER = """<svg viewBox="-2 -2 16 23" style="position: fixed; left: {x}px; top: {y}px; width: 48px;
height: 69px; margin: -6px; animation: move 0.6s ease-in-out"><path stroke="#fff"
d="M0 0V16L4 12.5 6.6 18.6 9 17.6 6.4 11.5H11.5Z" stroke-width="3" paint-order="stroke"/></svg>
<style>@keyframes move {{ from {{ translate: {dx}px {dy}px }} }}</style>"""
RING = """<i style="position: fixed; left: {x}px; top: {y}px; width: 90px; height: 90px; margin: -48px;
border: 6px solid #E69F00; border-radius: 50%; animation: ring 0.3s"></i>
<style>@keyframes ring {{ from {{ scale: 0.2 }} }}</style>"""
CARD = """<body style="margin: 0; height: 100vh; display: grid; place-content: center; text-align: center;
font: 54px sans-serif; background: #1d2a3a; color: #fff"><h1>{}</h1>{}"""
DRAWN = """() => !document.querySelector('.opening') && document.querySelector('.grpo')
    && ![...document.querySelectorAll(':is(.grpo, .racers):empty')].some((one) => one.offsetParent)"""

SAYS = "REINFORCE and GRPO, from the same start: how the policies that ship were trained"
LOOP = Scene("Loop", "tab=train", 10, [(SAYS, "click Replay `#train-race .keys button`")])


def at_rate(frames: list[tuple[float, bytes]], start: float, seconds: float) -> Iterator[bytes]:
    """The picture on the screen at each tick of RATE, from (time, picture) in order of time."""
    at = 0
    for tick in range(round(seconds * RATE)):
        while at + 1 < len(frames) and frames[at + 1][0] <= start + tick / RATE:
            at += 1
        yield frames[at][1]


class Film:
    """Scenes, one after the other, into one file. ``captions``: those so far, with their real times."""

    def __init__(self, page: Page, address: str, path: Path, encoding: Sequence[str]):
        self.page, self.address, self.path = page, address, path
        self.seconds, self.planned = 0.0, 0  # of what is filmed: as it took, and as the script has it
        self.captions: list[tuple[float, float, str]] = []
        self.at, self.pointer = (960.0, 540.0), None
        self.writing = path.with_name(f"writing-{path.name}")
        pictures = ("-f", "image2pipe", "-c:v", "mjpeg", "-framerate", str(RATE), "-i", "-")
        self.encoder = subprocess.Popen([*FFMPEG, *pictures, *encoding, self.writing], stdin=subprocess.PIPE)

    def open(self, scene: Scene) -> None:
        """Show what the scene begins with, and wait until it is drawn."""
        if self.pointer:
            self.pointer.close()
            self.pointer = None
        if scene.link:
            self.page.goto(f"{self.address}?{scene.link}&presenter=1")
            self.page.wait_for_function(DRAWN, timeout=60_000)
            self.page.add_style_tag(content=STYLE)
        else:
            self.page.set_content(CARD.format(scene.title, scene.lines[0][1].replace("`", "")))
        self.page.wait_for_timeout(1000)

    def record(self, scene: Scene) -> None:
        """Film a scene. Where its actions take longer than its lines, the next scene is shorter by that."""
        self.open(scene)
        frames: list[tuple[float, bytes]] = []
        take = self.page.screencast
        take.start(
            on_frame=lambda frame: frames.append((frame["timestamp"] / 1000, frame["data"])),
            size=SIZE,
            quality=95,
        )
        if scene.link:
            self.move(*self.at)
        start, end, late = 0.0, 0.0, self.seconds - self.planned
        for says, done in scene.lines:
            with take.show_overlay(CAPTION.format(html.escape(says))):
                start = start or time.time()  # the first caption is there: the scene begins
                begun = time.time() - start
                end = (end or start - late) + scene.seconds * effort(says) / scene.effort
                for action in ACTION.findall(done) if scene.link else []:
                    self.act(*action, limit=end)
                self.page.wait_for_timeout(max(0, 1000 * (end - time.time())))
            self.captions.append((self.seconds + begun, self.seconds + time.time() - start, says))
        seconds = time.time() - start
        take.stop()
        for picture in at_rate(frames, start, seconds):
            self.encoder.stdin.write(picture)
        self.seconds, self.planned = self.seconds + seconds, self.planned + scene.seconds
        print(f"{scene.title}: {seconds:.1f} s, {len(frames) / seconds:.0f} pictures a second", flush=True)

    def act(self, verb: str, where: str, words: str, limit: float) -> None:
        """Do one action. What cannot be done until ``limit`` is named, and the film goes on without it."""
        place = self.page.locator(where)
        left = max(1, 1000 * (limit - time.time()))
        try:
            if verb == "press":
                self.page.keyboard.press(where)
            elif verb == "wait":
                place.filter(has_text=re.compile(words)).first.wait_for(timeout=left)
            else:
                place.first.wait_for(timeout=left)
                box = place.first.bounding_box()
                low = 0.5 if verb == "click" else 0.85  # a pointer covers what is below it
                x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] * low
                self.move(x, y)
                if verb == "click":
                    self.page.screencast.show_overlay(RING.format(x=x, y=y), duration=300)
                    place.first.click(timeout=left)
        except TimeoutError:
            print(f"Not done in time: {verb} {where} {words}")

    def move(self, x: float, y: float) -> None:
        """Bring the mouse to a place, and let a pointer be seen going there."""
        (from_x, from_y), self.at = self.at, (x, y)
        pointer = POINTER.format(x=x, y=y, dx=from_x - x, dy=from_y - y)
        old, self.pointer = self.pointer, self.page.screencast.show_overlay(pointer)
        if old:
            old.close()
        self.page.wait_for_timeout(650)
        self.page.mouse.move(x, y)

    def finish(self) -> None:
        self.encoder.stdin.close()
        if self.encoder.wait():
            raise SystemExit(f"ffmpeg could not write {self.path}.")
        self.writing.replace(self.path)


def speak(film: Path, captions: list[tuple[float, float, str]]) -> None:
    """Give a film a voice: each caption is said when it is shown, or as soon as the last is said."""
    line, track, spoken = (film.with_name(name) for name in ("line.wav", "voice.wav", "spoken.mp4"))
    said = b""
    for start, _, text in captions:
        subprocess.run(["espeak-ng", "-s", "165", "-w", line, text], check=True)
        with wave.open(str(line)) as words:
            shape = words.getparams()
            said = said.ljust(2 * round(start * shape.framerate), b"\0") + words.readframes(shape.nframes)
    with wave.open(str(track), "wb") as whole:
        whole.setparams(shape)
        whole.writeframes(said)
    subprocess.run([*FFMPEG, "-i", film, "-i", track, "-c:v", "copy", "-c:a", "aac", spoken], check=True)
    spoken.replace(film)
    for part in (line, track):
        part.unlink()


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m docs.video", description=__doc__.partition("\n")[0])
    parser.add_argument("scenes", nargs="*", help="titles of the scenes to record; none: all")
    parser.add_argument("--voice", action="store_true", help="a spoken track as well (espeak-ng)")
    parser.add_argument("--loop", action="store_true", help="only the README's ten seconds, demo.gif")
    asked = parser.parse_args()
    if asked.loop and (asked.scenes or asked.voice):
        parser.error("--loop films a scene of its own, without a voice; leave out the rest.")
    for program in ["ffmpeg"] + ["espeak-ng"] * asked.voice:
        if not shutil.which(program):
            raise SystemExit(f"{program} is missing; on Debian, apt install {program} brings it.")
    script = {scene.title: scene for scene in read_script(PATH.read_text(encoding="utf-8"))}
    if unknown := set(asked.scenes) - set(script):
        raise SystemExit(f"No scene is called {unknown.pop()!r}; allowed: {', '.join(script)}.")
    scenes = [LOOP] if asked.loop else [script[title] for title in asked.scenes or script]
    FOLDER.mkdir(parents=True, exist_ok=True)
    path = IMAGES / "demo.gif" if asked.loop else FOLDER / "film.mp4"
    app = serve(block=False)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium(), args=["--no-sandbox"])
        # Without motion the training is not replayed by itself, so the loop shows it from its start.
        page = browser.new_page(viewport=SIZE, reduced_motion="reduce" if asked.loop else "no-preference")
        film = Film(page, app.local_url, path, GIF if asked.loop else MP4)
        for scene in scenes:  # a rehearsal: what has to be loaded or computed is ready when it is filmed
            film.open(scene)
        for scene in scenes:
            film.record(scene)
        browser.close()
    film.finish()
    app.close()
    if not asked.loop:
        path.with_suffix(".srt").write_text(subtitles(film.captions), encoding="utf-8")
    if asked.voice:
        speak(path, film.captions)
    print(f"{path.relative_to(ROOT)}: {film.seconds:.0f} s, {path.stat().st_size / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
