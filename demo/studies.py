"""The pictures behind the Rewards and Story tabs: a group taken apart, a drawing scored, a classifier fooled."""

from __future__ import annotations

import torch

from core.data import resize
from core.objectives import group_advantages
from core.rewards import TERMS, Rewards
from demo.models import Models
from demo.payloads import grid_of, pack, rounded

FOOL_STEPS = 60


def group(models: Models, task: str, digit: int, seed: int, count: int) -> dict:
    """One real GRPO group from a task's start: its rewards, and the weights that GRPO and REINFORCE make of them."""
    name = models.start(f"{task}/grpo")
    samples = models.draw(name, digit, 1.0, seed, count)
    rewards = samples.rewards[None]
    return {
        **grid_of(samples),
        **{"policy": name, "size": samples.images.shape[-1], "digit": digit, "count": count},
        **{"mean": round(rewards.mean().item(), 4), "std": round(rewards.std(correction=0).item(), 4)},
        "advantages": rounded(group_advantages(rewards, scale=False)),
        "scaled": rounded(group_advantages(rewards, scale=True)),
    }


def changed(models: Models, task: str, digit: int, seed: int, count: int) -> list[float]:
    """For each sample of that group: how many nats likelier the trained policy makes it than the start did."""
    name = models.start(f"{task}/grpo")
    tokens = models.draw(name, digit, 1.0, seed, count).tokens
    gain = models.log_likelihood(f"{task}/grpo", tokens, digit) - models.log_likelihood(name, tokens, digit)
    return rounded(gain.sum(1), 2)


def fitted(models: Models, rows: list[list[float]]) -> torch.Tensor:
    """A drawing as the policy could have drawn it: (1, 1, size, size), resized and rounded to what its tokens can say."""
    tokenizer = models.policy("random").tokenizer
    return tokenizer.decode(tokenizer.encode(resize(torch.tensor(rows)[None, None], tokenizer.size)))


def score(models: Models, rows: list[list[float]], digit: int, task: str) -> dict:
    """What classifier, judge and the reward terms make of a picture, and which pixels the classifier looked at."""
    size = models.policy("random").tokenizer.size
    image = resize(torch.tensor(rows)[None, None], size)
    image.requires_grad_(True)
    belief = models.classifier(image).log_softmax(1)
    (slope,) = torch.autograd.grad(belief[0, digit], image)
    saliency = slope.abs()
    image = image.detach()
    rewards: Rewards = models.rewards(task)
    weights = rewards.weights
    with torch.no_grad():
        tokens = models.policy("random").tokenizer.encode(image)
        terms = rewards.terms(image, torch.tensor([digit]), tokens, TERMS)
        judge = models.judge(image).softmax(1)
    return {
        **{
            "size": size,
            "digit": digit,
            "image": pack(image),
            "saliency": pack(saliency / saliency.max().clamp(min=1e-9)),
        },
        **{"classifier": rounded(belief.exp()), "judge": rounded(judge)},
        "terms": {
            name: {"value": round(part.item(), 4), "weight": weights.get(name, 0.0)}
            for name, part in terms.items()
        },
        "reward": round(rewards.total(terms).item(), 4),
    }


def fool(models: Models, digit: int, seed: int) -> dict:
    """Climb the classifier's confidence from noise, sixteen times at once; keep the climb that the judge
    believes least.

    This is what a policy does when nothing ties it to real digits: the reward goes to one and the picture is
        none.
    """
    classifier, judge, size = models.classifier, models.judge, models.policy("random").tokenizer.size
    generator = torch.Generator().manual_seed(seed)
    latent = torch.randn(16, 1, size, size, generator=generator).requires_grad_(True)
    optimizer = torch.optim.Adam([latent], lr=0.1)
    frames, beliefs = [], []
    for step in range(FOOL_STEPS + 1):
        picture = latent.sigmoid()
        belief = classifier(picture).log_softmax(1)[:, digit]
        if step % 3 == 0:
            frames.append(picture.detach().clone())
            beliefs.append(belief.detach().exp())
        if step < FOOL_STEPS:
            optimizer.zero_grad()
            (-belief.sum()).backward()
            optimizer.step()
    classifier.zero_grad(set_to_none=True)
    with torch.no_grad():
        verdict = judge(frames[-1]).softmax(1)
        doubt = beliefs[-1] - verdict[:, digit]
        kept = int(doubt.argmax())
    return {
        **{"size": size, "digit": digit, "steps": FOOL_STEPS, "count": len(frames)},
        "frames": pack(torch.stack([frame[kept] for frame in frames])),
        "belief": [round(float(belief[kept]), 4) for belief in beliefs],
        "classifier": rounded(classifier(frames[-1][kept : kept + 1]).softmax(1).detach()),
        "judge": rounded(verdict[kept]),
        "fooled": int((beliefs[-1] > 0.9).logical_and(verdict.argmax(1) != digit).sum()),
    }
