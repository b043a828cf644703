"""What the demo says of a trained model: scores next to the base rate, and calibration on held-out days."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lazyml.models.plots import ACCENT, MUTED, SOFT, finish, pyplot

Floats = NDArray[np.float64]


def base_rate_scores(training_rate: float, held_out_rate: float) -> dict[str, float]:
    """What predicting the training mean for every row gets on the held-out rows.

    >>> base_rate_scores(0.25, 0.25)["accuracy"], round(base_rate_scores(0.5, 0.3)["log loss"], 4)
    (0.75, 0.6931)
    """
    loss = -(held_out_rate * np.log(training_rate) + (1 - held_out_rate) * np.log1p(-training_rate))
    accuracy = held_out_rate if training_rate > 0.5 else 1 - held_out_rate
    return {"log loss": float(loss), "accuracy": float(accuracy), "ROC AUC": 0.5}


def calibration(
    truth: NDArray[Any], predicted: NDArray[Any], bins: int = 12
) -> tuple[Floats, Floats, NDArray[np.intp]]:
    """Mean prediction, observed share and size of groups of equal size, by rising prediction.

    >>> calibration(np.array([0, 1, 1, 1]), np.array([0.2, 0.3, 0.8, 0.9]), bins=2)[1].tolist()
    [0.5, 1.0]
    """
    groups = np.array_split(np.argsort(predicted, kind="stable"), bins)
    groups = [group for group in groups if len(group)]
    means = [np.array([values[group].mean() for group in groups], float) for values in (predicted, truth)]
    return means[0], means[1], np.array([len(group) for group in groups])


def history_rows(history: Sequence[Any]) -> list[list[str]]:
    """The training at a glance: rows at 0, 1, 2, 5, 10, 20, 50 ... and the last."""
    shown = {0, len(history) - 1, *(step * 10**power for power in range(5) for step in (1, 2, 5))}
    return [
        [str(i), f"{row.value:.8f}", f"{row.gradient_norm:.1e}", f"{row.passes:.4g}", f"{row.seconds:.2f}"]
        for i, row in enumerate(history)
        if i in shown
    ]


def plot_calibration(truth: NDArray[Any], predicted: NDArray[Any], training_rate: float, path: Path) -> None:
    """Observed share against predicted probability with 95 % intervals, above the distribution of predictions."""
    plt = pyplot()
    mean, observed, size = calibration(truth, predicted)
    error = 1.96 * np.sqrt(observed * (1 - observed) / size)
    top = min(1.0, float(max(mean.max(), (observed + error).max())) * 1.1)
    figure, (upper, lower) = plt.subplots(
        2, 1, figsize=(5.6, 6), layout="constrained", sharex=True, height_ratios=(3.2, 1)
    )
    upper.plot([0, top], [0, top], color=MUTED, linewidth=1, linestyle="--", label="perfectly calibrated")
    upper.axhline(training_rate, color=SOFT, linewidth=2, zorder=0, label=f"base rate {training_rate:.1%}")
    upper.errorbar(mean, observed, error, color=ACCENT, marker="o", markersize=5, capsize=2, linewidth=1.5,
                   label="model, groups of equal size")  # fmt: skip
    upper.set(ylabel="share that was late", ylim=(0, top), title=f"Calibration on {len(truth):,} held-out flights")
    upper.legend(frameon=False, loc="upper left")
    lower.hist(predicted, bins=np.linspace(0, top, 50).tolist(), color=SOFT)
    lower.set(xlabel="predicted probability of being late", ylabel="flights", xlim=(0, top))
    finish(plt, figure, (upper, lower), path)
