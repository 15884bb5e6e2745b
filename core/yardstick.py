"""Everything that is measured: pictures, policies, and what is claimed for GRPO:

* Sample efficiency: samples that a run has seen when success first reaches a given level.
* Variance: of the gradient estimate of each algorithm, all for the same policy.
* Quality against diversity, along the training.
"""

import math
from collections.abc import Sequence

import torch

from core.algorithms import Reinforce
from core.classifiers import accuracy, predict
from core.data import load_mnist
from core.metrics import density_coverage, frechet, interval, neighbour_radii, pixel_entropy
from core.objectives import exact_kl
from core.place import Place, prepare
from core.policies import Policy
from core.pretrain import heldout_nll
from core.recipes import Run
from core.rewards import INK, Rewards, largest_stroke
from core.rl import make_batch, objective

SEED = 20_250_808  # of the evaluation; training uses small seeds
GRAYS = 16  # gray levels of the pixel entropy, whatever the tokens are
WINDOW = 3  # steps that success is averaged over, as one step has few samples
BATCHES = 24  # behind each estimate of the variance
ALONG = 1000  # samples behind each point along the training


@torch.no_grad()
def draw(
    policy: Policy, reference: Policy | None, labels: torch.Tensor, seed: int = SEED
) -> tuple[torch.Tensor, torch.Tensor | None]:
    """(N,) labels to (N, 1, size, size) pictures and, given a reference, the (N,) KL to it in nats: summed
    over a picture's tokens, exact over each token's values.
    """
    generator, images, nats = torch.Generator(policy.device).manual_seed(seed), [], []
    for part in labels.to(policy.device).split(250):
        rollout = policy.sample(part, generator=generator)
        images.append(policy.tokenizer.decode(rollout.tokens).cpu())
        if reference is not None:
            kl = exact_kl(rollout.distributions, reference.log_probs(part, rollout.tokens))
            nats.append(kl.sum(1).cpu())
    return torch.cat(images), torch.cat(nats) if nats else None


class Yardstick:
    """Measures pictures and policies of a recipe, with its judge and real digits."""

    def __init__(self, place: Place, digits: Sequence[int] = range(10)):
        """``digits``: the labels that are drawn, and the real digits that samples are compared with."""
        self.place, self.fit, self.digits = place, prepare(place.recipe), torch.tensor(digits)
        images, labels = load_mnist(False, place.data_root)
        drawn = torch.isin(labels, self.digits)
        self.images, self.labels = self.fit(images[drawn]), labels[drawn]
        # Policies draw on the place's device; what they drew is measured on the CPU.
        self.classifier, self.judge = place.classifier().cpu(), place.judge().cpu()
        self.real = self.features(self.images)
        self.radii = neighbour_radii(self.real)

    @torch.no_grad()
    def features(self, images: torch.Tensor) -> torch.Tensor:
        """(N, D) the judge's features."""
        return torch.cat([self.judge.features(part) for part in images.split(1000)])

    def graded(self, images: torch.Tensor, labels: torch.Tensor) -> dict[str, float]:
        """How classifier and judge grade pictures: the mean confidence as reward, and success."""
        reward = predict(self.classifier, images).gather(1, labels[:, None]).mean().item()
        return {"reward": reward, "success": accuracy(self.judge, images, labels)}

    def pictures(self, images: torch.Tensor, labels: torch.Tensor) -> dict[str, float]:
        """Every figure that needs pictures and labels only."""
        grays = (images * (GRAYS - 1)).round().long().flatten(1)
        features = self.features(images)
        density, coverage = density_coverage(self.real, self.radii, features)
        return {
            **self.graded(images, labels),
            "frechet": frechet(self.real, features),
            "density": density,
            "coverage": coverage,
            "coherence": largest_stroke(images).mean().item(),
            "ink": (images >= INK).float().mean().item(),
            "entropy": pixel_entropy(grays, labels, GRAYS),
        }

    def nll(self, policy: Policy) -> float:
        """The NLL of the real test digits, in nats per image."""
        return heldout_nll(policy, self.images, self.labels)

    def measure(
        self, policy: Policy, reference: Policy, labels: torch.Tensor, nll: bool = True
    ) -> dict[str, float]:
        """Figures of a policy at temperature 1, from one sample per label, and its KL to a reference."""
        images, nats = draw(policy, reference, labels)
        values = {**self.pictures(images, labels), "kl": nats.mean().item()}
        return {**values, "nll": self.nll(policy)} if nll else values

    def noise(self, count: int) -> dict[str, float]:
        """Figures of pictures whose pixels are random."""
        size, generator = self.place.recipe.size, torch.Generator().manual_seed(SEED)
        images = torch.randint(GRAYS, (count, 1, size, size), generator=generator) / (GRAYS - 1)
        return self.pictures(images, self.digits[torch.arange(count) % len(self.digits)])

    def real_digits(self, count: int) -> dict[str, float]:
        """Figures of real digits. Training digits give the floor of all distances to the test digits; reward
        and success are those of the test digits, which neither classifier nor judge has seen.
        """
        images, labels = load_mnist(True, self.place.data_root)
        picked = torch.randperm(len(images), generator=torch.Generator().manual_seed(SEED))[:count]
        values = self.pictures(self.fit(images[picked]), labels[picked])
        return values | self.graded(self.images, self.labels)

    def reconstructed(self) -> dict[str, float]:
        """Figures of the test digits, encoded and decoded, beside the originals: what the tokenizer loses."""
        tokenizer = self.place.policy("random").cpu().tokenizer
        parts = [tokenizer.decode(tokenizer.encode(part)) for part in self.images.split(500)]
        return self.pictures(torch.cat(parts), self.labels)

    def along_training(self, task: str, name: str) -> list[dict]:
        """Quality, diversity and KL of a run's seed 0 at the start, at its snapshots and at the end."""
        labels = self.digits.repeat_interleave(ALONG // len(self.digits))
        start = self.place.start(task)
        points = []
        for samples, policy in self.place.along(task, name):
            values = self.measure(policy, start, labels, nll=False)
            kept = ("success", "reward", "kl", "frechet", "coverage", "entropy")
            points.append({"samples": samples, **{name: values[name] for name in kept}})
        return points


def samples_to_success(curves: dict[str, dict], level: float, start: float) -> dict:
    """Samples seen when the mean success of WINDOW steps reaches ``level``.

    Args:
        curves: by seed, {"samples": [...], "success": [...]} with one entry per step.
        start: success of the start. If it has reached ``level`` already, there is nothing to count.

    Returns:
        "each" seed's samples, fewest first, None for a seed that never reaches it; their "mean" and 95 %
        "interval", None unless all seeds reach it; and "above": whether the start has reached it already.
    """

    def passed(curve: dict) -> int | None:
        for step in range(WINDOW - 1, len(curve["success"])):
            # Its values are rounded to five places, and a sum in another order would end elsewhere.
            if sum(curve["success"][step - WINDOW + 1 : step + 1]) / WINDOW >= level - 1e-5:
                return curve["samples"][step]
        return None

    each = [passed(curve) for curve in curves.values()] if start < level else []
    each.sort(key=lambda samples: math.inf if samples is None else samples)
    known = bool(each) and None not in each
    return {
        "mean": sum(each) / len(each) if known else None,
        "interval": interval(each) if known else None,
        "each": each,
        "above": start >= level,
    }


def gradient_variance(place: Place, task: str) -> dict[str, dict[str, float | None]]:
    """Variance of each run's gradient estimate over the squared norm of its mean, at the start and half way.

    All runs are given the same batches of the same policy: at the start, and when ``grpo`` is half way (left
    out if there is no snapshot of that). The policy stands still, so the running mean of rewards does not lag
    behind, as in training. It is the variance of one step's estimate, before Adam averages over steps.
    """
    runs = confident(place.recipe.tasks[task])
    if not runs:
        return {}
    config, reference = place.recipe.tasks[task]["grpo"].config, place.start(task)
    found = {"start": relative_variance(place, place.start(task, config.guidance), reference, runs)}
    halfway = place.snapshots(task, "grpo").get(config.steps // 2)
    if halfway is not None:
        found["halfway"] = relative_variance(place, place.policy(halfway), reference, runs)
    return found


def confident(runs: dict[str, Run]) -> dict[str, Run]:
    """The runs that are rewarded for confidence alone."""
    return {name: run for name, run in runs.items() if set(run.rewards) == {"confidence"}}


def relative_variance(
    place: Place, policy: Policy, reference: Policy, runs: dict[str, Run]
) -> dict[str, float | None]:
    """One number per run: E ||g - E g||^2 / ||E g||^2 of its first update's gradient g.

    None if the mean of BATCHES gradients cannot be told from zero.
    """
    rewards = Rewards(place.classifier(), reference, {"confidence": 1.0})
    policy.train()  # as core.rl does
    parameters = [parameter for parameter in policy.parameters() if parameter.requires_grad]
    gradients: dict[str, list[torch.Tensor]] = {name: [] for name in runs}
    past: list[float] = []
    generator = torch.Generator(place.device).manual_seed(0)
    config = next(iter(runs.values())).config
    labels = torch.tensor(config.digits, device=place.device).repeat_interleave(config.group)
    for _ in range(BATCHES + 1):  # the first batch only gives the baseline its mean
        rollout = policy.sample(labels, config.temperature, generator)
        images = policy.tokenizer.decode(rollout.tokens)
        reward = rewards.total(rewards.terms(images, labels, rollout.tokens)).view(len(config.digits), -1)
        if past:
            log_probs = policy.log_probs(labels, rollout.tokens, config.temperature)
            with torch.no_grad():
                reference_log_probs = reference.log_probs(labels, rollout.tokens, config.temperature)
            for name, run in runs.items():
                advantages = run.algorithm.advantages(reward, past)
                batch = make_batch(rollout, advantages, reference_log_probs, run.config.beta)
                gains, _ = objective(log_probs, batch, run.algorithm, run.config.beta)
                parts = torch.autograd.grad(gains.mean(), parameters, retain_graph=True)
                gradients[name].append(torch.cat([part.flatten() for part in parts]))
        past.append(reward.mean().item())
    norms = {name: squared_norms(torch.stack(parts)) for name, parts in gradients.items()}
    # A baseline does not change the expected gradient (Williams 1992): REINFORCE's runs share it, and the
    # least noisy one gives its norm.
    plain = [name for name, run in runs.items() if type(run.algorithm) is Reinforce and run.config.beta == 0]
    least_noisy = min(plain, key=lambda name: norms[name][0], default="")
    norms |= {name: (norms[name][0], norms[least_noisy][1]) for name in plain}
    return {name: own / expected - 1 if expected else None for name, (own, expected) in norms.items()}


def squared_norms(gradients: torch.Tensor) -> tuple[float, float | None]:
    """The mean squared norm of (N, P) independent estimates, and the squared norm of their expectation.

    The latter is the mean inner product of two different estimates, to which their variance adds nothing.
    None unless it is two standard errors (jackknife; Efron and Stein 1981) above zero.
    """
    count, products = len(gradients), gradients @ gradients.T
    own = products.diag()
    others = products.sum(1) - own
    expected = others.sum() / (count * (count - 1))
    without = (others.sum() - 2 * others) / ((count - 1) * (count - 2))  # one estimate left out each
    error = ((count - 1) / count * (without - without.mean()).square().sum()).sqrt()
    return own.mean().item(), expected.item() if expected > 2 * error else None
