"""What the models answer to a checked question, as dicts that are ready for the browser. Imports torch.

``Engine.ask`` calls each function by its name, with the models of a recipe and what was asked.
"""

import math

import torch

from core.classifiers import predict
from core.data import resize
from core.mistakes import Mistake, as_used, start_of
from core.objectives import exact_kl, group_advantages
from core.policies import Policy, gather
from core.recipes import Run
from core.rewards import TERMS
from core.rl import RLStep
from core.yardstick import draw
from demo import drawing, pictures, stepping
from demo.checks import RequestError
from demo.models import Models, Samples
from demo.settings import layout

BARS = 16  # values of a token that are shown: all gray levels, or the most probable codes
WALL = 100  # samples of a policy in Compare
# Near-twins differ in less than this share of their ink, by picture size: a stroke that is moved by a pixel
# changes more of a fine picture. Of a hundred real digits at most a dozen have one, except among 1s.
TWIN = {8: 0.075, 28: 0.14}
GROUP = 16
SPREAD = 1024  # samples from which it is measured how much a group's mean varies
FOOL_STEPS = 60


def grid(samples: Samples, digit: int, columns: int) -> dict:
    """Samples for ``sample_grid``: the sheet, and each one's reward, what the judge reads, its NLL."""
    return {
        "sheet": pictures.sheet(samples.images, columns),
        "size": samples.images.shape[-1],
        "columns": columns,
        "count": len(samples.images),
        "digit": digit,
        "rewards": pictures.rounded(samples.rewards),
        "reads": samples.reads.tolist(),
        "nll": pictures.rounded(-samples.log_probs.sum(1), 2),
    }


def codebook(models: Models) -> str:
    """The picture of each code, sixteen in a row: the middle of a picture that holds nothing else."""
    tokenizer = models.tokenizer
    if tokenizer.size == tokenizer.grid:
        return ""
    codes = torch.arange(tokenizer.vocabulary)[:, None].expand(-1, tokenizer.length)
    each = tokenizer.size // tokenizer.grid
    corner = tokenizer.grid // 2 * each
    with torch.no_grad():
        patches = tokenizer.decode(codes)[:, :, corner : corner + each, corner : corner + each]
    return pictures.sheet(patches, 16)


def generate(models: Models, name: str, digit: int, temperature: float, seed: int, count: int) -> dict:
    return grid(models.draw(name, digit, temperature, seed, count), digit, 8)


def trajectory(models: Models, name: str, digit: int, temperature: float, seed: int, count: int, index: int):
    samples = models.draw(name, digit, temperature, seed, count)
    return drawing_of(models, name, samples, index, digit, temperature)


@torch.no_grad()
def drawing_of(models: Models, name: str, samples: Samples, index: int, digit: int, temperature: float):
    """How one sample was drawn, token by token, for ``player``.

    Returns:
        "picture": the finished one; "belief": (T + 1, 10) the classifier's, before each token and at
        the end; "probs" and "reference_probs": (T, K) for the K values in "values" (T, K); "tokens";
        "log_probs" and "reference" of the drawn tokens; sizes.
    """
    tokenizer, tokens = models.tokenizer, samples.tokens[index : index + 1]
    length = tokenizer.length
    drawn = torch.arange(length) < torch.arange(length + 1)[:, None]  # (T + 1, T)
    blank = tokenizer.encode(torch.zeros(1, 1, tokenizer.size, tokenizer.size))  # where nothing is drawn yet
    frames = tokenizer.decode(torch.where(drawn, tokens, blank))
    labels, start = torch.tensor([digit]), models.policy(models.start(name))
    own = models.policy(name).log_probs(labels, tokens, temperature)[0]  # (T, V)
    reference = start.log_probs(labels, tokens, temperature)[0]
    most = min(BARS, own.shape[1])
    values = own.topk(most, dim=1).indices if own.shape[1] > most else torch.arange(most).expand(length, most)
    return {
        "picture": pictures.sheet(samples.images[index : index + 1], 1),
        "size": tokenizer.size,
        "grid": tokenizer.grid,
        "vocabulary": tokenizer.vocabulary,
        "bars": most,
        "digit": digit,
        "belief": pictures.shares(models.classifier(frames).softmax(1)),
        "values": pictures.whole_bytes(values),
        "probs": pictures.shares(own.exp().gather(1, values)),
        "reference_probs": pictures.shares(reference.exp().gather(1, values)),
        "tokens": pictures.whole_bytes(tokens),
        "log_probs": pictures.rounded(gather(own[None], tokens), 3),
        "reference": pictures.rounded(gather(reference[None], tokens), 3),
    }


def twins(images: torch.Tensor) -> list[int]:
    """Which of (B, 1, H, W) pictures are near-twins of another."""
    flat = images.flatten(1)
    ink = flat.sum(1)
    apart = torch.cdist(flat, flat, p=1) / (ink[:, None] + ink).clamp(min=1e-6)
    apart.fill_diagonal_(torch.inf)
    return (apart.min(1).values < TWIN[images.shape[-1]]).nonzero().flatten().tolist()


@torch.no_grad()
def figures(models: Models, task: str, run: Run, policy: Policy, record: RLStep) -> dict:
    """What a race shows of a run's step: its samples, or fresh ones where the mistake is in drawing."""
    digits, shown = run.config.digits, layout(models.recipe, run.config)["wall"]
    images, reward, success, kl = record.images, record.reward, record.success, record.kl
    if isinstance(run, Mistake) and run.draw:
        labels = torch.tensor(digits).repeat_interleave(run.config.group)
        start = models.policy(start_of(run, task))
        images, nats = draw(as_used(run, policy), start, labels, seed=record.step)
        reward = predict(models.classifier, images).gather(1, labels[:, None]).mean().item()
        success = (predict(models.judge, images).argmax(1) == labels).float().mean().item()
        kl = nats.mean().item()
    images = images.unflatten(0, (len(digits), -1))[:, : shown["count"] // len(digits)].flatten(0, 1)
    sheet, reads = pictures.sheet(images, shown["columns"]), models.judge(images).argmax(1).tolist()
    return {
        "frame": {"sheet": sheet, "reads": reads},
        "reward": round(reward, 4),
        "success": round(success, 4),
        "kl": round(kl, 3),
        "twins": len(twins(images)),
        "terms": {name: round(value, 4) for name, value in record.terms.items()},
    }


def wilson(right: int, count: int) -> tuple[float, float]:
    """The 95 % interval of a share of successes (Wilson 1927), honest at 0 and at 1 too."""
    z = 1.96
    share, weight = right / count, z * z / count
    middle = (share + weight / 2) / (1 + weight)
    half = z * math.sqrt(share * (1 - share) / count + z * z / (4 * count * count)) / (1 + weight)
    return round(max(0.0, middle - half), 4), round(min(1.0, middle + half), 4)


def portrait(models: Models, name: str, digit: int, seed: int) -> dict:
    """A policy in Compare: a wall of samples, success, the KL spent and where, the mean, one drawing."""
    samples = models.draw(name, digit, 1.0, seed, WALL)
    right = int((samples.reads == digit).sum())
    start, side = models.policy(models.start(name)), models.tokenizer.grid
    labels = torch.full((WALL,), digit)
    with torch.no_grad():
        own = models.policy(name).log_probs(labels, samples.tokens)
        before = start.log_probs(labels, samples.tokens)
        kl = exact_kl(own, before).mean(0)  # (T,)
    return {
        "wall": {**grid(samples, digit, 10), "twins": twins(samples.images)},
        "right": right,
        "count": WALL,
        "interval": wilson(right, WALL),
        "kl": round(kl.sum().item(), 2),
        "map": pictures.heat(kl.view(side, side)),
        "mean": pictures.png(samples.images.mean(0)[0]),
        "trajectory": drawing_of(models, name, samples, 0, digit, 1.0),
    }


def group(models: Models, task: str, digit: int, seed: int) -> dict:
    """One real GRPO group of 16 samples from a task's start, with the weights that each algorithm gives."""
    samples = models.draw(models.start(f"{task}/grpo"), digit, 1.0, seed, GROUP)
    rewards = samples.rewards[None]
    return {
        **grid(samples, digit, 8),
        "mean": round(rewards.mean().item(), 4),
        "std": round(rewards.std(correction=0).item(), 4),
        "advantages": pictures.rounded(group_advantages(rewards, scale=False)),
        "scaled": pictures.rounded(group_advantages(rewards, scale=True)),
    }


def in_walk(walk: stepping.Walk, at: int) -> dict:
    """The group that was drawn after ``at`` updates, for ``walks.view``.

    Returns:
        "shown", what is shown as it is: as ``grid``, and the "weights" that each algorithm gives the samples;
        the "values" and "advantages" of each sample and token; and what the policy made of them "before" and
        "after" the update that they taught, if it was taken: by how many nats each sample "changed", the
        "kl" to the start, and "tokens" ("log_probs", "ratio", "surrogate", "clipped", "kl").
    """
    found = walk.groups[at]
    rewards = found.samples.rewards
    shown = {
        **grid(found.samples, walk.digit, min(8, math.isqrt(walk.config.group))),
        "at": at,
        "start_right": int((walk.groups[0].samples.reads == walk.digit).sum()),
        "mean": round(rewards.mean().item(), 4),
        "weights": {name: pictures.rounded(weight) for name, weight in found.weights.items()},
        "beta": walk.config.beta,
        "clip": [1 - stepping.ALGORITHM.low, 1 + stepping.ALGORITHM.high],
    }

    def table(values: torch.Tensor, places: int = 3) -> list[list[float]]:
        return [pictures.rounded(row, places) for row in values]

    def made(scores: dict[str, torch.Tensor]) -> dict:
        return {
            "changed": pictures.rounded((scores["log_probs"] - found.before["log_probs"]).sum(1), 3),
            "kl": round(scores["kl"].sum(1).mean().item(), 4),
            "tokens": {name: table(values, 3 + (name == "kl")) for name, values in scores.items()},
        }

    return {
        "shown": shown,
        "values": found.samples.tokens.tolist(),
        "advantages": table(found.advantages),
        "before": made(found.before),
        "after": made(found.after) if found.after else None,
    }


def spread(models: Models, digit: int) -> dict[str, float]:
    """How much the mean reward of the start's groups varies: its standard deviation, by their size."""
    rewards = models.draw("unlabelled", digit, 1.0, 0, SPREAD).rewards
    return {str(size): round(rewards.view(-1, size).mean(1).std().item(), 4) for size in (4, 16, 64)}


def score(models: Models, rows: list[list[float]], digit: int, task: str, centre: bool) -> dict:
    image = torch.tensor(rows)[None, None]
    if drawing.is_empty(image):
        return {"empty": True, "digit": digit}
    return grade(models, drawing.like_mnist(image) if centre else image, digit, task)


@torch.no_grad()
def likeness_of(models: Models, rows: list[list[float]]) -> torch.Tensor:
    """(1, 1, size, size): a drawing as MNIST would have it, rounded to what a policy's tokens can say."""
    image, tokenizer = torch.tensor(rows)[None, None], models.tokenizer
    if drawing.is_empty(image):
        raise RequestError("likeness is paid, but nothing is drawn; draw on the pad.")
    return tokenizer.decode(tokenizer.encode(resize(drawing.like_mnist(image), tokenizer.size)))


def fool(models: Models, what: str, digit: int, task: str, seed: int) -> dict:
    image = torch.zeros(1, 1, 28, 28) if what == "blank" else fooling(models, digit, seed)
    return grade(models, image, digit, task)


def grade(models: Models, image: torch.Tensor, digit: int, task: str) -> dict:
    """What classifier, judge and reward make of a (1, 1, 28, 28) picture, and where the classifier looks."""
    tokenizer = models.tokenizer
    with torch.no_grad():
        tokens = tokenizer.encode(resize(image, tokenizer.size))
        small = tokenizer.decode(tokens)  # rounded to what a policy's tokens can say
    small.requires_grad_(True)
    belief = models.classifier(small).log_softmax(1)
    (slope,) = torch.autograd.grad(belief[0, digit], small)
    small = small.detach()
    rewards = models.rewards(task)
    with torch.no_grad():
        terms = rewards.terms(small, torch.tensor([digit]), tokens, TERMS)
        judge = models.judge(small).softmax(1)[0]
    return {
        "digit": digit,
        "picture": pictures.png(small[0, 0]),
        "saliency": pictures.heat(slope.abs()[0, 0]),
        "classifier": pictures.rounded(belief.exp()),
        "judge": pictures.rounded(judge),
        "terms": {name: round(part.item(), 4) for name, part in terms.items()},
        "weights": {name: rewards.weights.get(name, 0.0) for name in terms},
        "reward": round(rewards.total(terms).item(), 4),
    }


def fooling(models: Models, digit: int, seed: int) -> torch.Tensor:
    """A (1, 1, size, size) picture that the classifier believes and the judge does not.

    Sixteen pictures climb the classifier's confidence from noise; the one on which the two differ most is
    kept. A policy does the same when nothing ties it to real digits. The classifier sees the picture as its
    tokens say it; the gradient goes to the picture itself (straight through, Bengio et al. 2013).
    """
    classifier, tokenizer = models.classifier, models.tokenizer
    latent = torch.randn(16, 1, tokenizer.size, tokenizer.size, generator=torch.Generator().manual_seed(seed))
    latent.requires_grad_(True)
    optimizer = torch.optim.Adam([latent], lr=0.3)

    def as_graded() -> torch.Tensor:
        with torch.no_grad():
            return tokenizer.decode(tokenizer.encode(latent.sigmoid()))

    for _ in range(FOOL_STEPS):
        image = latent.sigmoid()
        belief = classifier(image + (as_graded() - image).detach()).log_softmax(1)[:, digit]
        optimizer.zero_grad()
        (-belief.sum()).backward()
        optimizer.step()
    classifier.zero_grad(set_to_none=True)
    with torch.no_grad():
        found = as_graded()
        doubt = classifier(found).softmax(1)[:, digit] - models.judge(found).softmax(1)[:, digit]
    return latent[doubt.argmax()][None].sigmoid().detach()


def complete(models: Models, name: str, digit: int, temperature: float, seed: int, count: int, rows, given):
    """Samples whose first ``given`` rows of tokens are those of a drawing."""
    tokenizer = models.tokenizer
    with torch.no_grad():
        tokens = tokenizer.encode(resize(torch.tensor(rows)[None, None], tokenizer.size))[0]
    given = given * tokenizer.grid
    samples = models.draw(name, digit, temperature, seed, count, tuple(tokens[:given].tolist()))
    path = drawing_of(models, name, samples, 0, digit, temperature)
    return {**grid(samples, digit, 6), "given": given, "trajectory": path}
