"""The science: how reinforcement learning teaches an autoregressive policy to draw."""

from core.checkpoints import CheckpointError, load_classifier, load_judge, load_policy

__all__ = ["CheckpointError", "load_classifier", "load_judge", "load_policy"]
