"""The science: how reinforcement learning teaches an autoregressive policy to draw.

    tokenizer  ->  policy  ->  rewards  ->  algorithm

Meant to be read in one evening, in this order; the first three rows are the lesson, the rest applies it.

    rl, objectives, algorithms             the loop, its mathematics, and what sets GRPO apart from REINFORCE
    tokenizers, policies, lstm             pictures as sequences, and a policy that draws and scores them
    classifiers, rewards                   what is rewarded, and the judge that is never optimised against
    vqvae, transformer                     the same with patch codes, attention and guidance
    data, pretrain                         where a policy comes from before RL
    configs, recipes                       every hyperparameter, and every run
    mistakes                               seven ways to get it wrong
    checkpoints, files, place              weights on disk, and the options that all commands share
    metrics, yardstick                     what is measured, and how
    evaluate, report, figures              the ladder (the table of results), metrics.json, and figures
    stages, train                          what is trained in which order, and the command line
    parallel                               several processes that train as one
    hub                                    checkpoints from the Hugging Face Hub
"""

from core.checkpoints import CheckpointError, load_classifier, load_judge, load_policy

__all__ = ["CheckpointError", "load_classifier", "load_judge", "load_policy"]
