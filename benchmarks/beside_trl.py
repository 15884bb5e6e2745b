"""GRPO here beside TRL's ``GRPOTrainer``: samples a second, and how soon 90 % of them are right.

Both take the same steps: the same prompts, group, reward, judge and number of updates, on the same threads.
The transformer has a Llama beside it that starts with the same weights, hence the same distribution, which
is checked. An LSTM does not go into TRL: a GPT-2 of its size stands beside it, untrained, for speed alone.
"""

import copy
import dataclasses
import tempfile
import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import torch

from benchmarks import peers
from benchmarks.report import reached, spread
from core.algorithms import GRPO
from core.classifiers import predict
from core.configs import RLConfig
from core.place import Place
from core.policies import LABELS, Policy
from core.recipes import PATCHES, PIXELS, Recipe
from core.rewards import Rewards
from core.rl import train
from core.transformer import TransformerPolicy
from demo.settings import settings

FAVOUR = (
    "a Llama of transformers, not a wrapper around our policy, with attention by PyTorch's SDPA",
    "a step's samples are one batch of generation and one batch of each update",
    "prompts of one token, samples of a fixed length, no end token, no choice beyond the codes",
    "float32, no gradient checkpointing (its default), no logging, no saving, no progress bar",
    "the dataset holds every step's prompts, so that no epoch ends before the run does",
    "its learning rate is the best of four (2e-4 on three seeds; 5e-4, 1e-3, 2e-3 on the five that are "
    "raced), ours is what Train live has, not tuned here",
    "imports, the trainer's construction and the copy of its reference are not timed",
)
SHARE, WINDOW = 0.9, 3  # of the samples are right, over so many steps
DIFFERENCE = 1e-4  # of log-probabilities, at most
LR = 2e-3  # of TRL: of those tried it needs the fewest samples, on average over five seeds
SEEDS, STEPS = 5, 5


@dataclass
class Course:
    """What a training did, step by step."""

    seconds: list[float] = field(default_factory=list)  # since the start, when each step ended
    success: list[float] = field(
        default_factory=list
    )  # share of each step's samples that the judge reads as asked
    difference: float = 0.0  # of the log-probabilities at the start from our policy's

    def done(self) -> bool:
        return reached(self.success, SHARE, WINDOW) is not None

    def steps(self) -> list[float]:
        """Seconds of each step but the first, which warms up."""
        return [after - before for before, after in pairwise(self.seconds)]


@dataclass(frozen=True)
class Setting:
    """What both train from and are paid by."""

    start: Policy
    rewards: Rewards
    judge: torch.nn.Module
    config: RLConfig
    algorithm: GRPO = GRPO()

    @property
    def samples(self) -> int:
        """In a step."""
        return len(self.config.digits) * self.config.group


def ours(setting: Setting, seed: int, stop: bool) -> Course:
    """Train here; ``stop`` where it is good enough."""
    policy, generator, course = copy.deepcopy(setting.start), torch.Generator().manual_seed(seed), Course()
    models = (setting.start, setting.rewards, setting.judge)
    for record in train(policy, *models, setting.algorithm, setting.config, generator):
        course.seconds.append(record.seconds)
        course.success.append(record.success)
        if stop and course.done():
            break
    return course


def trl(setting: Setting, seed: int, stop: bool) -> Course:
    """The same in TRL."""
    from transformers import PrinterCallback, TrainerCallback

    course, started, updates = Course(), 0.0, setting.algorithm.updates

    class Clock(TrainerCallback):
        def on_train_begin(self, *_, **__):
            nonlocal started
            started = time.perf_counter()

        def on_step_end(self, args, state, control, **_):
            if state.global_step % updates == 0:
                course.seconds.append(time.perf_counter() - started)
                control.should_training_stop |= stop and course.done()

    def reward(prompts: list[str], completion_ids: list[list[int]], **_) -> list[float]:
        labels, tokens = torch.tensor([int(prompt) for prompt in prompts]), torch.tensor(completion_ids)
        images = setting.start.tokenizer.decode(tokens)
        right = predict(setting.judge, images).argmax(1) == labels
        course.success.append(right.float().mean().item())
        return setting.rewards.total(setting.rewards.terms(images, labels, tokens)).tolist()

    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        trainer = trainer_of(setting, reward, seed, folder)
        trainer.remove_callback(PrinterCallback)
        trainer.add_callback(Clock)
        if isinstance(setting.start, TransformerPolicy):
            course.difference = check_same(setting.start, trainer.model)
        trainer.train()
    return course


def trainer_of(setting: Setting, reward: Callable, seed: int, folder: str):
    """A GRPOTrainer that takes the steps of ``core.rl``; see FAVOUR for what was chosen in its favour."""
    from datasets import Dataset
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast
    from transformers.utils import logging
    from trl import GRPOConfig, GRPOTrainer

    logging.disable_progress_bar()
    policy, config, updates = setting.start, setting.config, setting.algorithm.updates
    # A word for each token, in the order of peers.stock: codes, labels, the end. A prompt is a label.
    words = [*(f"code{i}" for i in range(policy.tokenizer.vocabulary)), *map(str, range(LABELS)), "end"]
    tokenizer = Tokenizer(models.WordLevel({word: i for i, word in enumerate(words)}, unk_token="end"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    arguments = GRPOConfig(
        output_dir=folder,
        seed=seed,
        use_cpu=True,
        bf16=False,
        activation_checkpointing=False,
        logging_strategy="no",
        save_strategy="no",
        report_to="none",
        disable_tqdm=True,
        dataloader_pin_memory=False,
        shuffle_dataset=False,
        max_steps=updates * config.steps,
        per_device_train_batch_size=setting.samples,
        steps_per_generation=1,
        num_generations=config.group,
        num_iterations=updates,
        max_completion_length=policy.tokenizer.length,
        generation_kwargs={"min_new_tokens": policy.tokenizer.length},
        temperature=config.temperature,
        beta=config.beta,
        epsilon=setting.algorithm.low,
        epsilon_high=setting.algorithm.high,
        scale_rewards="group" if setting.algorithm.scale else "none",
        loss_type="grpo",
        learning_rate=LR,
        lr_scheduler_type="linear",
        warmup_steps=updates * config.warmup,
        optim="adamw_torch_fused",
        adam_beta2=0.99,
        weight_decay=0.0,
        max_grad_norm=config.clip,
    )
    peers.stock(policy).save_pretrained(folder)  # TRL reads model and reference from a folder
    trainer = GRPOTrainer(
        model=folder,
        reward_funcs=reward,
        args=arguments,
        train_dataset=Dataset.from_list([{"prompt": str(digit)} for digit in config.digits] * config.steps),
        processing_class=PreTrainedTokenizerFast(
            tokenizer_object=tokenizer, eos_token="end", pad_token="end"
        ),
    )
    peers.fit(trainer.model, policy)
    peers.fit(trainer.ref_model, policy).requires_grad_(False)
    return trainer


@torch.no_grad()
def check_same(policy: Policy, llama) -> float:
    """The largest difference between the two in log-probabilities, on the policy's own samples.

    Raises RuntimeError where it is above DIFFERENCE: then they do not start from the same policy.
    """
    labels = torch.arange(LABELS)
    tokens = policy.sample(labels, generator=torch.Generator().manual_seed(0)).tokens
    prompts = policy.tokenizer.vocabulary + labels
    logits = llama(torch.cat([prompts[:, None], tokens], 1)).logits[:, :-1]
    found = (logits.log_softmax(-1) - policy.log_probs(labels, tokens)).abs().max().item()
    if not found <= DIFFERENCE:
        raise RuntimeError(
            f"the log-probabilities of policy and Llama differ by {found:.1e}: not the same start."
        )
    return found


def live(recipe: str) -> RLConfig:
    """One digit as the tab Train live has it."""
    return settings(recipe, "steer", [7], None, None, None, None)


def setting_of(recipe: Recipe, config: RLConfig) -> Setting:
    place = Place(recipe)
    start = place.start("steer").eval()
    return Setting(start, Rewards(place.classifier(), start, {"confidence": 1.0}), place.judge(), config)


def compare(setting: Setting, seeds: int, stop: bool) -> tuple[list[Course], list[Course]]:
    """Trainings here and in TRL, in turn."""
    pairs = [(ours(setting, seed, stop), trl(setting, seed, stop)) for seed in range(seeds)]
    return tuple(map(list, zip(*pairs, strict=True)))


def rates(courses: Sequence[list[Course]]) -> dict[str, dict]:
    """Seconds of a step."""
    ours, peer = (spread([second for course in found for second in course.steps()]) for found in courses)
    return {"ours": ours, "peer": peer}


def arrivals(courses: Sequence[list[Course]], value: Callable[[Course, int], float]) -> dict[str, dict]:
    """Of each seed, a value of the step at which a training was good enough."""
    found = []
    for seeds in courses:
        steps = [reached(course.success, SHARE, WINDOW) for course in seeds]
        pairs = zip(seeds, steps, strict=True)
        found.append(spread([None if step is None else value(course, step) for course, step in pairs]))
    return dict(zip(("ours", "peer"), found, strict=True))


def measure(seeds: int = SEEDS, steps: int = STEPS) -> dict:
    """Seconds of a step; samples and seconds until 90 % are right, over seeds."""
    algorithm, rows = GRPO(), {}
    for recipe in (PIXELS, PATCHES):
        config = dataclasses.replace(recipe.tasks["steer"]["grpo"].config, steps=steps + 1)
        setting = setting_of(recipe, config)
        name = f"{recipe.name}, ten digits, {setting.samples} samples: seconds a step"
        rows[name] = rates(compare(setting, 1, stop=False))
    setting = setting_of(PATCHES, live(PATCHES.name))
    courses, name = compare(setting, seeds, stop=True), f"{PATCHES.name}, one digit"
    rows[f"{name}, {setting.samples} samples: seconds a step"] = rates(courses)
    samples = arrivals(courses, lambda course, step: (step + 1) * setting.samples)
    rows[f"{name}: samples to {SHARE:.0%}"] = samples
    rows[f"{name}: seconds to {SHARE:.0%}"] = arrivals(courses, lambda course, step: course.seconds[step])
    return {
        "updates a step": algorithm.updates,
        "seeds": seeds,
        "learning rate": {"ours": setting.config.lr, "labels": setting.config.label_lr, "peer": LR},
        "largest difference of log-probabilities at the start": max(c.difference for c in courses[1]),
        "in TRL's favour": FAVOUR,
        "rows": rows,
    }
