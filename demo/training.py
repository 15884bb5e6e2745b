"""Training live, in the page: runs race from the same start, with the same number of samples.

A race is a thread over core.rl's own generators, one a run, which take each step together. The page asks for
news a few times a second and says how much it has, so an answer that is lost is given again: a hidden tab,
a slow network or ten seconds without one lose nothing. One race at a time, others wait.
"""

from __future__ import annotations

import copy
import os
import secrets
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, wait

import torch

from core.classifiers import predict
from core.mistakes import Mistake, as_used, learner, start_of
from core.policies import Policy
from core.recipes import STARTS, Run
from core.rl import RLStep, train
from core.yardstick import draw
from demo import pictures
from demo.answers import twins
from demo.checks import RequestError
from demo.models import Models
from demo.settings import wall

SILENCE = 30.0  # seconds without a question after which a race ends: its page is gone, and nothing said so
GRACE = 1.5  # seconds after a page said that it is closed
LONGEST = 180.0  # seconds of training; pauses do not count
PATIENCE = 60.0  # seconds that a paused race may keep others waiting
QUEUE = 8
KEPT = 6  # finished races whose policies visitors may go on using
NEWS = 20  # steps in one answer
ENDED = ("done", "stopped", "failed")


class Stopped(Exception):
    """Raised inside a step to end it."""


class Race(threading.Thread):
    """Waits for its turn, takes a step of each run at a time, and can be paused and stopped at any moment."""

    def __init__(
        self,
        trainer,
        models: Models,
        task: str,
        runs: dict[str, Run],  # which share their digits, group and steps
        seed: int,
        drawing: torch.Tensor | None = None,  # that samples are to look like, where likeness is paid
    ):
        super().__init__(daemon=True)
        self.trainer, self.models, self.task, self.runs = trainer, models, task, runs
        self.config = next(iter(runs.values())).config  # for what all share
        self.seed, self.drawing, self.key = seed, drawing, secrets.token_hex(8)
        self.about: dict = {}  # what the page needs to know once
        self.state, self.why = "waiting", ""  # waiting, running, paused, or one of ENDED and the reason
        self.points: list[dict] = []  # of each step: what the page shows of each run
        self.heard = self.since = time.monotonic()  # of the last question, and of the present state
        self.trained = self.paused = 0.0  # seconds before the present state
        self.visitor = ("", "")  # who started it: an address, and the page there
        self.policies = [copy.deepcopy(models.policy(start_of(run, task))) for run in runs.values()]
        for policy, run in zip(self.policies, runs.values(), strict=True):
            if run.config.guidance != 1:
                policy.guidance = run.config.guidance
            for module in policy.modules():  # pausing and stopping need not wait for the end of a step
                module.register_forward_pre_hook(self.check)

    def enter(self, state: str, why: str = "") -> None:
        """Change the state, unless the race has ended: the first reason counts."""
        with self.trainer.lock:
            if self.state not in ENDED:
                now = time.monotonic()
                self.trained += now - self.since if self.state == "running" else 0
                self.paused += now - self.since if self.state == "paused" else 0
                self.state, self.why, self.since = state, why, now

    def check(self, *_) -> None:
        """Wait while paused; raise Stopped where the race has ended, is not followed or takes too long."""
        while True:
            now = time.monotonic()
            if now - self.heard > SILENCE:
                self.enter("stopped", f"Stopped: its page has not been heard of for {SILENCE:.0f} seconds.")
            elif self.state == "running" and self.trained + now - self.since > LONGEST:
                self.enter("stopped", f"Stopped after {LONGEST:.0f} seconds, the most for one visitor.")
            elif self.keeps_waiting(now):
                self.enter("stopped", f"Stopped: paused for {PATIENCE:.0f} seconds while others waited.")
            if self.state in ENDED:
                raise Stopped
            if self.state == "running":
                return
            time.sleep(0.05)

    def keeps_waiting(self, now: float) -> bool:
        """Whether it has been paused too long, all pauses together, while others stand in the line."""
        paused = self.state == "paused" and self.paused + now - self.since > PATIENCE
        return paused and len(self.trainer.line) > 1

    def run(self) -> None:
        try:
            while self.trainer.line[0] is not self:
                time.sleep(0.05)
                if self.state in ENDED or time.monotonic() - self.heard > SILENCE:
                    return self.enter("stopped", "Stopped: it left the line.")
            self.enter("running")
            with ThreadPoolExecutor(len(self.runs), initializer=step_back) as pool:
                self.race(pool)
            self.enter("done", "Done.")
        except Stopped:
            pass
        except Exception as error:  # whatever it is, the page says it in words
            self.enter("failed", f"The training failed: {error or type(error).__name__}")
        finally:
            for policy in self.policies:
                for module in policy.modules():
                    module._forward_pre_hooks.clear()
                policy.zero_grad(set_to_none=True)
            self.trainer.finish(self)

    def race(self, pool: ThreadPoolExecutor) -> None:
        models, runs, racing = self.models, [], (self.runs.values(), self.policies)
        for run, policy in zip(*racing, strict=True):
            generator = torch.Generator().manual_seed(self.seed)
            rewards = models.rewards(self.task, run.rewards, self.drawing)
            start, policy = models.policy(start_of(run, self.task)), learner(run, policy)
            runs.append(train(policy, start, rewards, models.judge, run.algorithm, run.config, generator))
        try:
            for _ in range(self.config.steps):
                taken = [pool.submit(self.step, *one) for one in zip(runs, *racing, strict=True)]
                wait(taken)  # all of them, also where one failed: a run that still works cannot be closed
                records, racers = zip(*(one.result() for one in taken), strict=True)
                self.points.append({"step": records[0].step, "samples": records[0].samples, "racers": racers})
        finally:
            for run in runs:
                run.close()

    def step(self, records: Iterator[RLStep], run: Run, policy: Policy) -> tuple[RLStep, dict]:
        """One step of a run, and what the page shows of it."""
        record = next(records)
        return record, self.figures(record, run, policy)

    @torch.no_grad()
    def figures(self, record: RLStep, run: Run, policy: Policy) -> dict:
        """What the page shows of a run's step: its samples, or where the mistake is in them, fresh ones."""
        models, digits = self.models, self.config.digits
        images = models.tokenizer.decode(record.tokens)
        reward, success, kl = record.reward, record.success, record.kl
        if isinstance(run, Mistake) and run.draw:
            labels = torch.tensor(digits).repeat_interleave(self.config.group)
            start = models.policy(start_of(run, self.task))
            images, nats = draw(as_used(run, policy), start, labels, seed=record.step)
            reward = predict(models.classifier, images).gather(1, labels[:, None]).mean().item()
            success = (predict(models.judge, images).argmax(1) == labels).float().mean().item()
            kl = nats.mean().item()
        shown = wall(self.config)
        images = images.unflatten(0, (len(digits), -1))[:, : shown["count"] // len(digits)].flatten(0, 1)
        frame = {
            "sheet": pictures.sheet(images, shown["columns"]),
            "reads": models.judge(images).argmax(1).tolist(),
        }
        return {
            "frame": frame,
            "reward": round(reward, 4),
            "success": round(success, 4),
            "kl": round(kl, 3),
            "twins": len(twins(images)),
            "terms": {name: round(value, 4) for name, value in record.terms.items()},
        }


def step_back() -> None:
    """For a thread that trains: one core each, and behind what other visitors ask for."""
    torch.set_num_threads(1)
    if sys.platform == "linux":  # where each thread has a priority of its own
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), 10)


class Trainer:
    """All races of a server."""

    def __init__(self):
        self.lock, self.threads = threading.RLock(), torch.get_num_threads()
        self.races: dict[str, Race] = {}
        self.line: list[Race] = []  # the one that trains, then those that wait

    def start(self, about: dict, *settings) -> str:
        """Start a race, or let it wait; returns its key. ``about`` is for the page, the rest for ``Race``."""
        with self.lock:
            if len(self.line) >= QUEUE:
                raise RequestError(f"{QUEUE} trainings are waiting already; please try again in a minute.")
            race = Race(self, *settings)
            race.about = about
            self.races[race.key] = race
            self.line = [*self.line, race]
        race.start()
        return race.key

    def own(self, key: str, visitor: tuple[str, str]) -> None:
        """Say whose race it is. A visitor has one at a time, the newest, and an address half of the line."""
        with self.lock:
            race = self.races[key]
            race.visitor = visitor
            others = [other for other in self.line if other is not race]
            for other in others:
                if other.visitor == visitor:
                    other.enter("stopped", "Stopped: you began another one.")
            if sum(other.visitor[0] == visitor[0] for other in others) >= QUEUE // 2:
                race.enter("stopped", "Stopped: too many trainings were begun from your address.")

    def share_cores(self) -> None:
        """For other model work in this thread: beside a race, threads wait for each other too long."""
        torch.set_num_threads(1 if self.line else self.threads)

    def finish(self, race: Race) -> None:
        """Free the turn; what was trained may be used from now on, and the oldest of it is forgotten."""
        with self.lock:
            self.line = [other for other in self.line if other is not race]
            if race.points:
                race.models.guests[f"mine:{race.key}"] = (race.policies[-1], STARTS[race.task])
            for old in [old for old in self.races.values() if old not in self.line][:-KEPT]:
                del self.races[old.key]
                old.models.guests.pop(f"mine:{old.key}", None)

    def follow(self, key: str, seen: int) -> dict:
        """News of a race since its first ``seen`` steps, for ``components.race``."""
        race = self.races.get(key)
        if race is None:
            says = "This training is gone: the server was restarted. Train starts a new one."
            return {"key": key, "state": "lost", "over": True, "says": says, "from": 0, "points": []}
        race.heard = time.monotonic()
        ended = race not in self.line
        points = race.points[seen : seen + NEWS]
        says = f"Live, on this machine. Step {len(race.points)} of {race.config.steps}."
        if race.state in ENDED:
            mine = " Its policy can be chosen in Generate and Compare." if race.points else ""
            says = f"Trained live, on this machine. {race.why}{mine}"
        elif race.state == "waiting" and not ended:
            says = f"Waiting for its turn: number {self.line.index(race)} in the line. Stop leaves it."
        elif race.state == "paused":
            says = f"Paused at step {len(race.points)} of {race.config.steps}."
        over = ended and seen + len(points) == len(race.points)
        news = {"key": key, "state": race.state, "over": over, "says": says, "from": seen, "points": points}
        if over and race.points:
            news["policy"] = [race.models.recipe, f"mine:{key}"]
        return news if seen else {**news, **race.about}

    def leave(self, key: str) -> None:
        """Its page is closed: end a race, unless the page is only loaded anew and asks again soon."""
        race = self.races.get(key)
        if race is not None:
            race.heard = time.monotonic() - SILENCE + GRACE

    def control(self, key: str, action: str) -> None:
        """Pause, resume or stop a race. One that is gone is left alone."""
        race = self.races.get(key)
        if race is not None:
            if action == "stop":
                race.enter("stopped", "Stopped by you.")
            elif race.state == ("running" if action == "pause" else "paused"):
                race.enter("paused" if action == "pause" else "running")
