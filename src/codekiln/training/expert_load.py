"""How evenly a router spreads tokens over its experts.

No token is dropped here: every expert takes all tokens that choose it (`models/experts.py`), so
there is no share of dropped tokens to watch, only a load to keep even.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Counts = NDArray[np.float64]


def shares(counts: Counts) -> list[list[float]]:
    """Each layer's choices by expert, which add up to 1; [layers, experts]."""
    return (counts / np.maximum(counts.sum(1, keepdims=True), 1)).round(5).tolist()


def figures(counts: Counts) -> dict[str, float]:
    """The load in three numbers.

    Args:
        counts: [layers, experts], how often each expert was chosen.

    Returns:
        `expert_load_max_over_mean`: of the layer where it is largest; 1 is even.
        `expert_load_entropy_ratio`: of the choices' entropy to the largest there is, the mean over
        layers; 1 is even. `experts_under_half_load_share`: experts chosen less than half as often
        as the mean, of all.
    """
    load = counts / np.maximum(counts.mean(1, keepdims=True), 1e-9)  # 1 where even
    count = counts.shape[1]
    share = np.where(load > 0, load / count, 1.0)  # what is 0 adds 0 to the entropy
    entropy = -(share * np.log(share)).sum(1) / np.log(max(count, 2))
    return {
        "expert_load_max_over_mean": float(load.max()),
        "expert_load_entropy_ratio": float(entropy.mean()),
        "experts_under_half_load_share": float((load < 0.5).mean()),
    }
