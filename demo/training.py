"""Training live, in the page: runs race from the same start, with the same number of samples.

A race is a thread over core.rl's own generators, one a run, which take each step together. The page asks for
news a few times a second, or every ten seconds while it is hidden, and says how much it has, so an answer
that is lost is given again: a hidden tab, a slow network or ten seconds without one lose nothing. A page that
is closed frees the processor at once. One race at a time, others wait.
"""

import copy
import ctypes
import os
import secrets
import shutil
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor, wait
from contextlib import closing
from pathlib import Path

import torch

from core.checkpoints import save
from core.mistakes import learner, start_of
from core.policies import Policy
from core.recipes import RECIPES, STARTS, Run
from core.rl import RLStep, train
from demo import shipped
from demo.answers import figures
from demo.checks import MOST_RACERS, RequestError
from demo.models import Models
from demo.sentences import listed

SILENCE = 30.0  # seconds without a question after which a race ends: its page is gone
ON_THE_WAY = 1.0  # seconds in which questions of a closed page may still arrive
LONGEST = 180.0  # seconds of training; a pause counts only where others wait
TICK = 0.05  # seconds between two looks at whether a race may go on
QUEUE = 8
KEPT = 6  # finished races whose policies visitors may go on using
NEWS = 20  # steps in one answer
ENDED = ("done", "stopped", "failed")


class Race(threading.Thread):
    """Waits for its turn, takes a step of each run at a time, and can be paused and stopped at any moment.

    Args:
        about: what the page needs to know once.
        runs: which share their digits, group and steps.
        drawing: that samples are to look like, where likeness is paid.
    """

    def __init__(
        self, trainer, about: dict, models: Models, task: str, runs: list[Run], seed: int, drawing=None
    ):
        super().__init__(daemon=True)
        self.trainer, self.about, self.models, self.task, self.runs = trainer, about, models, task, runs
        self.seed, self.drawing, self.key = seed, drawing, secrets.token_hex(8)
        self.paused, self.ended, self.why = False, "", ""  # how it ended, one of ENDED, and the reason
        self.points: list[dict] = []  # of each step: what the page shows of each run
        self.last_asked = self.ticked = time.monotonic()  # of the last question, and the last ``tick``
        self.gone_since: float | None = None  # when its page went: it waits until that asks again
        self.spent = 0.0  # seconds, of LONGEST
        self.visitor = ("", "")  # who started it: an address, and the page there
        self.policies = [copy.deepcopy(models.policy(start_of(run, task))) for run in runs]
        for policy, run in zip(self.policies, runs, strict=True):
            policy.guidance = run.config.guidance
            for module in policy.modules():  # pausing and stopping need not wait for the end of a step
                module.register_forward_pre_hook(self.check)
                module.register_full_backward_pre_hook(self.check)

    @property
    def state(self) -> str:
        """waiting, paused, running, or how it ended."""
        going = "paused" if self.paused else "running"
        return self.ended or (going if self.trainer.whose_turn() is self else "waiting")

    def end(self, state: str, why: str) -> None:
        """End it, unless it has ended: the first reason counts."""
        if not self.ended:
            self.why, self.ended = why, state

    def check(self, *_) -> None:
        """In every layer: wait for the turn, and while paused; raise CancelledError where it has ended."""
        while (state := self.state) in ("waiting", "paused"):
            time.sleep(TICK)
        if state in ENDED:
            raise CancelledError

    def tick(self) -> None:
        """End it where its page is gone, or its time is over."""
        now, state = time.monotonic(), self.state
        if state == "running" or (state == "paused" and len(self.trainer.line) > 1):
            self.spent += now - self.ticked
        self.ticked = now
        if now - self.last_asked > SILENCE:
            self.end("stopped", f"Stopped: its page has not been heard from for {SILENCE:.0f} seconds.")
        elif self.spent > LONGEST:
            self.end("stopped", f"Stopped after {LONGEST:.0f} seconds, the most for one visitor.")

    def run(self) -> None:
        racing = [self.records(run, policy) for run, policy in zip(self.runs, self.policies, strict=True)]
        taken = []
        try:
            while self.state == "waiting":
                time.sleep(TICK)
                self.tick()
            for _ in range(self.runs[0].config.steps):
                taken = [self.trainer.workers.submit(next, records) for records in racing]
                while wait(taken, TICK).not_done:  # a run that still works cannot be closed
                    self.tick()
                records, racers = zip(*map(Future.result, taken), strict=True)
                first = records[0]
                self.points.append({"step": first.step, "samples": first.samples, "racers": racers})
            self.end("done", "Done.")
        except CancelledError:
            pass
        except Exception as error:  # whatever it is, the page says it in words
            self.end("failed", f"The training failed: {error or type(error).__name__}")
        finally:
            taken.clear()  # an error holds the step that it ended, hundreds of megabytes, and this frame
            for records in racing:
                records.close()
            for policy in self.policies:
                for module in policy.modules():
                    module._forward_pre_hooks.clear()
                    module._backward_pre_hooks.clear()
                policy.zero_grad(set_to_none=True)
            self.trainer.finish(self)

    def records(self, run: Run, policy: Policy) -> Iterator[tuple[RLStep, dict]]:
        """The steps of a run, and what the page shows of each. All runs have the same random numbers."""
        models, generator = self.models, torch.Generator().manual_seed(self.seed)
        rewards, start = models.rewards(self.task, run.rewards, self.drawing), start_of(run, self.task)
        learns, reference = learner(run, policy), models.policy(start)
        steps = train(learns, reference, rewards, models.judge, run.algorithm, run.config, generator)
        with closing(steps):  # then the policy keeps its averaged weights
            for record in steps:
                self.check()
                yield record, figures(models, self.task, run, policy, record)


def step_back() -> None:
    """For a thread that trains: one core each, and behind what other visitors ask for."""
    torch.set_num_threads(1)
    if sys.platform == "linux":  # where each thread has a priority of its own
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), 10)


def give_back() -> None:
    """Return to the system what a race needed: glibc would keep one or two gigabytes for the next one."""
    if sys.platform == "linux" and hasattr(libc := ctypes.CDLL(None), "malloc_trim"):
        libc.malloc_trim(0)


class Trainer:
    """All races of a server."""

    def __init__(self):
        self.lock = threading.RLock()
        sys.setswitchinterval(0.001)  # a thread that trains gives way sooner to one that answers
        # A thread a run. Free ones are taken first: each keeps memory of its own.
        self.workers = ThreadPoolExecutor(MOST_RACERS * QUEUE, initializer=step_back)
        self.races: dict[str, Race] = {}
        self.line: list[Race] = []  # of races, as they came
        self.first: Race | None = None  # whose turn it is
        self.folder = tempfile.TemporaryDirectory(prefix="trained-")  # of policies to download

    def start(self, *settings) -> dict:
        """Start a race (see there for the settings), or let it wait; returns its first news."""
        with self.lock:
            if len(self.line) >= QUEUE:
                raise RequestError(f"{QUEUE} trainings run or wait already; please try again in a minute.")
            race = Race(self, *settings)
            race.start()  # first: a race that gets no thread must not stand in the line
            self.races[race.key] = race
            self.line = [*self.line, race]
        return self.follow(race.key, 0)

    def assign(self, key: str, visitor: tuple[str, str]) -> None:
        """Say whose race it is. A visitor has one at a time, the newest; an address, half of the line."""
        with self.lock:
            race = self.races[key]
            race.visitor = visitor
            others = [other for other in self.line if other is not race]
            for other in others:
                if other.visitor == visitor:
                    other.end("stopped", "Stopped: you began another one.")
            if sum(other.visitor[0] == visitor[0] and not other.ended for other in others) >= QUEUE // 2:
                race.end("stopped", "Stopped: too many trainings were begun from your address.")

    def whose_turn(self) -> Race | None:
        """Whose turn it is: until it ends or its page goes, then that of the next whose page is there."""
        with self.lock:
            here = [race for race in self.line if race.gone_since is None and not race.ended]
            if self.first not in here:
                self.first = next(iter(here), None)
            return self.first

    def finish(self, race: Race) -> None:
        """Free the turn; what was trained may be used from now on, and the oldest of it is forgotten."""
        with self.lock:
            self.line = [other for other in self.line if other is not race]
            if race.points:
                race.models.guests[f"mine:{race.key}"] = (race.policies[-1], STARTS[race.task])
            over = [old for old in self.races.values() if old not in self.line]
            trained = [old for old in over if old.points]
            for old in trained[:-KEPT] + [old for old in over if not old.points][:-KEPT]:
                del self.races[old.key]
                old.models.guests.pop(f"mine:{old.key}", None)
                Path(self.folder.name, f"policy-{old.key}.zip").unlink(missing_ok=True)
        give_back()

    def weights(self, key: str) -> str:
        """The last policy of a race as a zip of the two files of a checkpoint; returns its path."""
        race, path = self.races[key], f"{self.folder.name}/policy-{key}.zip"
        recipe, policy = RECIPES[race.models.recipe], race.policies[-1]
        shape = recipe.policy_shape(policy.guidance)
        with tempfile.TemporaryDirectory(dir=self.folder.name) as scratch:
            folder, about = Path(scratch) / "policy", {"recipe": recipe.name, "trained": "live, in the page"}
            save(folder, policy, recipe.kind, shape, about)
            # Two answers may ask for it at once, when one is already being read.
            os.replace(shutil.make_archive(f"{scratch}/policy", "zip", folder), path)
        return path

    def leave(self, session: str) -> None:
        """A page was closed, loaded anew or lost its connection: its race waits until it asks again."""
        for race in self.line:
            if race.visitor[1] == session:
                race.gone_since = time.monotonic()

    def close(self) -> None:
        """End all races, and wait until they have: the server stops."""
        with self.lock:
            line = self.line
        for race in line:
            race.end("stopped", "The server was stopped.")
        for race in line:
            race.join()

    def follow(self, key: str, seen: int, visitor: tuple[str, str] | None = None) -> dict:
        """News of a race since its first ``seen`` steps, for ``components.race``; ``visitor``: who asks."""
        race = self.races.get(key)
        if race is None:
            why = "the server was restarted, or others came after it"
            says = f"This training is gone: {why}. Train starts a new one."
            return {"key": key, "state": "lost", "over": True, "says": says, "from": 0, "points": []}
        now = time.monotonic()
        if race.gone_since is None or now - race.gone_since > ON_THE_WAY:
            race.last_asked, race.gone_since, race.visitor = now, None, visitor or race.visitor
        line = self.line  # it is never changed, but replaced
        ended, steps = race not in line, f"{len(race.points)} of {race.runs[0].config.steps}"
        points = race.points[seen : seen + NEWS]
        at, title = shipped.RECIPES[race.models.recipe], race.about["racers"][-1]["title"]
        says = f"Live, on this machine, at {at}. Step {steps}."
        if race.state in ENDED:
            says = race.why
            if race.points:
                says = f"Trained live, on this machine. {says} The policy of “{title}” can be chosen in "
                says += f"Generate, Compare and Complete, at {at}."
        elif race.state == "waiting" and not ended:
            says = f"Waiting for its turn: number {max(1, line.index(race))} in the line. Stop leaves it."
        elif race.state == "paused":
            says = f"Paused at step {steps}."
        over = ended and seen + len(points) == len(race.points)
        news = {"key": key, "state": race.state, "over": over, "says": says, "from": seen, "points": points}
        if over and race.points:
            news["policy"] = self.policy_of(race)
        return news if seen else {**news, **race.about}

    def policy_of(self, race: Race) -> list[str]:
        """What a race leaves behind: the recipe, the name and the title of its last policy."""
        digits = [str(digit) for digit in race.runs[-1].config.digits]
        learned = "all digits" if len(digits) == 10 else listed(digits)
        title = f"{race.about['racers'][-1]['title']} on {learned}"
        return [race.models.recipe, f"mine:{race.key}", title]

    def trained(self, keys: list[str]) -> list[list[str]]:
        """``policy_of`` of those races that have ended and are not forgotten."""
        races = [self.races[key] for key in keys if key in self.races]
        return [self.policy_of(race) for race in races if race.points and race not in self.line]

    def control(self, key: str, action: str) -> None:
        """Pause, resume or stop a race. Anything else does nothing; a race that is gone is left alone."""
        race = self.races.get(key)
        if race is not None and action == "stop":
            race.end("stopped", "Stopped by you.")
        elif race is not None and action in ("pause", "resume"):
            race.paused = action == "pause"
