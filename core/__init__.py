"""The science: how reinforcement learning teaches an autoregressive policy to draw. Knows nothing of the demo."""

import os

# The transformer samples with NumPy's small products, which threads only delay. It asks once, when it is first imported.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

from core.checkpoints import CheckpointError, load_classifier, load_critic, load_judge, load_policy

__all__ = ["CheckpointError", "load_classifier", "load_critic", "load_judge", "load_policy"]
