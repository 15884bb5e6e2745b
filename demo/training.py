"""Training live, in the page: REINFORCE and GRPO race from the same start, with the same number of samples.

It is core.rl's own generator, twice, each in a thread of its own. A browser starts a run, then asks for news
a few times a second; a run that nobody asks about stops by itself, so a closed tab frees the processor. One
run at a time, others wait.
"""

from __future__ import annotations

import copy
import dataclasses
import math
import os
import secrets
import sys
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch

from core.algorithms import GRPO, Algorithm, Reinforce
from core.bestofn import best_of_n_kl, best_of_n_success
from core.configs import RLConfig
from core.metrics import ink_fraction
from core.policies import Policy
from core.recipes import ONE_DIGIT, STARTS
from core.rl import RLStep, train
from demo import requests
from demo.models import Models
from demo.payloads import pack, rounded
from demo.requests import RequestError

SILENCE = 1.6  # seconds without a question after which a run stops: a hidden tab still asks once a second
LONGEST = 180.0  # seconds of a run
MOST = 640  # samples a step
QUEUE = 8
KEPT = 6  # finished policies that visitors may go on using
SHOWN = 16  # samples of a step that are sent
POOL = 400  # samples behind the best-of-N line
PATCHES = {
    "lr": 4e-4,
    "group": 64,
    "steps": 40,
}  # of one digit at 28x28: a transformer takes smaller, slower steps


@dataclass(frozen=True)
class Settings:
    """A checked request to train."""

    task: str
    config: RLConfig
    epsilon: float
    seed: int

    @classmethod
    def check(cls, values: Any) -> Settings:
        """Raises RequestError that names the setting and what is allowed."""
        if not isinstance(values, dict):
            raise RequestError("settings are no object with a name and a value for each.")
        known = ("task", "digits", "steps", "group", "beta", "epsilon", "lr", "seed")
        for name in values:
            requests.one_of("setting", name, known)
        task = requests.one_of("task", values.get("task", "steer"), tuple(STARTS))
        digits = values.get("digits", [7])
        if not isinstance(digits, list) or not digits or len(digits) > 10:
            raise RequestError(
                f"digits is {requests.shown(digits)}; allowed: a list of 1 to 10 different digits."
            )
        digits = tuple(requests.digit(digit) for digit in digits)
        if len(set(digits)) < len(digits):
            raise RequestError(f"digits is {requests.shown(list(digits))}; allowed: each digit once.")
        usual = ONE_DIGIT
        group = requests.whole("group", values.get("group", usual.group), 2, 128)
        if group * len(digits) > MOST:
            raise RequestError(
                f"group is {group} for {len(digits)} digits; allowed: at most {MOST} samples a step in all."
            )
        config = RLConfig(
            digits=digits,
            group=group,
            steps=requests.whole("steps", values.get("steps", usual.steps), 1, 300),
            lr=requests.number("lr", values.get("lr", usual.lr), 1e-6, 1e-2),
            label_lr=usual.label_lr,
            beta=requests.number("beta", values.get("beta", usual.beta), 0, 1),
            average=usual.average,
        )
        epsilon = requests.number("epsilon", values.get("epsilon", 0.2), 0.01, 1)
        return cls(task, config, epsilon, requests.seed(values.get("seed", 0)))


@dataclass
class Runner:
    """One of the two in the race."""

    name: str
    algorithm: Algorithm
    config: RLConfig
    policy: Policy
    points: list[dict] = field(default_factory=list)
    frames: list[dict] = field(default_factory=list)  # what the samples of each step looked like


class Race(threading.Thread):
    """A run: waits for its turn, trains both, and can be paused and stopped between steps."""

    def __init__(
        self, models: Models, settings: Settings, turn: threading.Lock, place: Callable[[Race], int]
    ):
        super().__init__(daemon=True)
        self.models, self.settings, self.turn, self.place = models, settings, turn, place
        self.state = "waiting"
        self.halt, self.go = threading.Event(), threading.Event()
        self.go.set()
        self.heard = time.monotonic()
        self.began = 0.0
        self.error = ""
        beginning = models.policy(STARTS[settings.task])
        grpo = GRPO(updates=2, low=settings.epsilon, high=settings.epsilon)
        free = dataclasses.replace(
            settings.config, beta=0.0
        )  # REINFORCE as the guide has it: no baseline, no KL
        self.runners = [
            Runner("reinforce", Reinforce(), free, copy.deepcopy(beginning)),
            Runner("grpo", grpo, settings.config, copy.deepcopy(beginning)),
        ]

    def run(self) -> None:
        while not (self.place(self) == 1 and self.turn.acquire(timeout=0.1)):
            if self._over():
                self.state = "stopped"
                return
            time.sleep(0.05)
        try:
            self.state, self.began = "running", time.monotonic()
            other = threading.Thread(target=self._train, args=(self.runners[0],), daemon=True)
            other.start()
            self._train(self.runners[1])
            other.join()
        finally:
            self.state = "stopped" if self.halt.is_set() else "failed" if self.error else "done"
            self.turn.release()

    def _over(self) -> bool:
        """Whether to stop: told to, too long, or nobody listens any more."""
        silent = time.monotonic() - self.heard > SILENCE
        late = self.began and time.monotonic() - self.began > LONGEST
        if silent or late:
            self.halt.set()
        return self.halt.is_set()

    def _train(self, runner: Runner) -> None:
        torch.set_num_threads(1)  # of this thread: the two runners share the machine's cores
        if (
            sys.platform == "linux"
        ):  # and step back for the other tabs: there each thread has a priority of its own
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), 10)
        models, settings = self.models, self.settings
        reference = models.policy(STARTS[settings.task])
        rewards = models.rewards(settings.task)
        generator = torch.Generator().manual_seed(settings.seed)
        steps = train(
            *(runner.policy, reference, rewards, models.judge),
            *(runner.algorithm, runner.config, generator),
        )
        try:
            for record in steps:
                runner.frames.append(frame(record, runner.policy.tokenizer, models.judge))
                runner.points.append(point(record, time.monotonic() - self.began))
                while not self.go.wait(0.1) and not self._over():
                    pass
                if self._over():
                    break
        except FloatingPointError as error:
            self.error = str(error)
        finally:
            steps.close()
            runner.policy.zero_grad(set_to_none=True)
            runner.policy.eval()


def point(record: RLStep, seconds: float) -> dict:
    """The numbers of one step for the curves."""
    return {
        **{"step": record.step, "samples": record.samples, "seconds": round(seconds, 2)},
        **{"reward": round(record.reward, 4), "success": round(record.success, 4), "kl": round(record.kl, 3)},
        **{"entropy": round(record.entropy, 4), "clipped": round(record.clip_fraction, 4)},
    }


def frame(record: RLStep, tokenizer, judge) -> dict:
    """Samples of one step with their rewards and advantages: some of the first digit's group."""
    images = tokenizer.decode(record.tokens[:SHOWN])
    with torch.no_grad():
        reads = judge(images).argmax(1)
    return {
        **{"images": pack(images), "reads": reads.tolist(), "ink": round(ink_fraction(images), 4)},
        **{
            "rewards": rounded(record.rewards[0, :SHOWN], 3),
            "advantages": rounded(record.advantages[0, :SHOWN], 3),
        },
    }


class Trainer:
    """All runs of a server."""

    def __init__(self):
        self.threads = torch.get_num_threads()
        self.turn, self.lock = threading.Lock(), threading.Lock()
        self.races: OrderedDict[str, Race] = OrderedDict()

    def start(self, models: Models, values: Any) -> str:
        """Start a run, or queue it. Returns its key."""
        settings = Settings.check(values)
        with self.lock:
            if sum(race.is_alive() for race in self.races.values()) >= QUEUE:
                raise RequestError(f"{QUEUE} runs are waiting already; please try again in a minute.")
            key = secrets.token_hex(8)
            race = self.races[key] = Race(models, settings, self.turn, self.place)
            race.start()
            self._forget()
        return key

    def _forget(self) -> None:
        """Keep the last few finished runs; older ones free their memory."""
        finished = [key for key, race in self.races.items() if not race.is_alive()]
        for key in finished[: max(0, len(finished) - KEPT)]:
            race = self.races.pop(key)
            race.models.guests.pop(f"mine:{key}", None)

    def place(self, race: Race) -> int:
        """Where a waiting run stands in the queue, from 1: first come, first served."""
        with self.lock:
            waiting = [other for other in self.races.values() if other.state == "waiting"]
        return waiting.index(race) + 1 if race in waiting else 0

    def share_cores(self) -> None:
        """Before other model work in this thread: beside a race, two threads that wait for each other take far longer."""
        with self.lock:
            racing = any(race.state == "running" for race in self.races.values())
        torch.set_num_threads(1 if racing else self.threads)

    def race(self, key: Any) -> Race:
        with self.lock:
            if not isinstance(key, str) or key not in self.races:
                raise RequestError(
                    f"run is {requests.shown(key)}; allowed: the key of a run that was started lately."
                )
            return self.races[key]

    def news(self, key: Any, since: Any) -> dict:
        """What happened in a run since its first ``since`` = [steps of REINFORCE, steps of GRPO]."""
        race = self.race(key)
        race.heard = time.monotonic()
        if not isinstance(since, list) or len(since) != 2:
            raise RequestError(
                f"since is {requests.shown(since)}; allowed: two whole numbers, the steps known of each."
            )
        since = [requests.whole("since", value, 0, 100_000) for value in since]
        found = {"key": key, "state": race.state, "place": self.place(race), "error": race.error}
        if race.state == "running" and not race.go.is_set():
            found["state"] = "paused"
        for runner, known in zip(race.runners, since, strict=True):
            known = min(known, len(runner.points))
            found[runner.name] = {
                "points": runner.points[known:],
                "frame": runner.frames[-1] if runner.frames else None,
            }
        if race.state in ("done", "stopped") and race.runners[1].points:
            guests = race.models.guests
            guests[f"mine:{key}"] = (race.runners[1].policy, STARTS[race.settings.task])
            found["policy"] = f"mine:{key}"
        return found

    def control(self, key: Any, action: Any) -> dict:
        """Pause, resume or stop a run; takes effect before its next step."""
        race = self.race(key)
        race.heard = time.monotonic()
        action = requests.one_of("action", action, ("pause", "resume", "stop"))
        if action == "stop":
            race.halt.set()
        (race.go.clear if action == "pause" else race.go.set)()
        return {"key": key, "action": action}


def best_of_n(models: Models, task: str, digit: int, seed: int = 0) -> list[list[float]]:
    """[KL in nats, judge success] of best-of-N from a task's start, for N = 1, 2, 4, ...: the line that RL must beat."""
    samples = models.draw(STARTS[task], digit, 1.0, seed, POOL)
    right = samples.reads == digit
    line, n = [], 1
    while n <= POOL // 4:
        kl = best_of_n_kl(n)
        line.append([round(kl, 3), round(best_of_n_success(samples.rewards, right, kl), 4)])
        n *= 2
    return line


def bound(success: float) -> float:
    """Nats that perfect success must cost at least: the start's share of successes, as a surprise."""
    return round(-math.log(max(success, 1e-3)), 3)


def record(models: Models, values: dict) -> dict:
    """A whole run, for the recording that ships: every point and every frame of both."""
    race = Race(models, Settings.check(values), threading.Lock(), lambda race: 1)
    race.heard = math.inf
    race.start()
    race.join()
    return {runner.name: {"points": runner.points, "frames": runner.frames} for runner in race.runners}
