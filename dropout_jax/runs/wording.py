"""The answer of a comparison in words, from its summary."""

from collections.abc import Sequence
from typing import Any

from dropout_jax.analysis import statistics

_SAID_OF = {"entries": "weights", "contribution": "contributions of hidden units"}


def question(names: Sequence[str]) -> str:
    """The question that the conditions [C], the baseline first, answer.

    Example:
      >>> print(question(["none", "dropout", "l2"]))
      Does dropout spread the weights?
    """
    if list(names) == ["none", "dropout", "l2"]:
        return "Does dropout spread the weights?"
    if len(names) == 1:
        return f"How are the weights of {names[0]} spread?"
    return f"What spreads the weights, compared with {names[0]}?"


def answer(summary: dict[str, Any]) -> list[str]:
    """The answer in words, from a summary: how each condition changed the Gini of each view.

    Example:
      >>> import numpy as np
      >>> from dropout_jax.analysis.comparison import Measured, summarise
      >>> from dropout_jax.analysis.uniformity import MEASURES
      >>> from dropout_jax.populations.population import Population
      >>> from dropout_jax.training.config import Hparams
      >>> from dropout_jax.training.epochs import Curve, Metrics
      >>> ginis = np.array([[0.5, 0.4, 0.6], [0.4, 0.3, 0.4]])  # conditions, seeds
      >>> measures = {"entries": dict.fromkeys(MEASURES, ginis)}
      >>> measured = Measured({0: measures}, {}, [np.ones((2, 3, 4), bool)])  # of four inputs
      >>> metrics = Metrics(np.ones((2, 3, 1)), np.ones((2, 3, 1)))
      >>> population = Population({}, {}, np.arange(1), Curve(metrics, metrics))
      >>> conditions = {"none": Hparams((0.0,)), "dropout": Hparams((0.5,))}
      >>> summary = summarise(conditions, range(3), population, measured)
      >>> print(answer(summary)[0])
      With 3 seeds no test can reach p < .05 (the smallest is 0.25): no direction can be decided.
      Take at least 6 seeds.
    """
    sentences = []
    n = min(condition["n_compared"] for condition in summary["conditions"].values())
    if 0 < n < statistics.MIN_SEEDS:
        smallest = summary["statistics"]["smallest_p"]
        sentences.append(
            f"With {n} seeds no test can reach p < .05 (the smallest is {smallest:.2g}): "
            f"no direction can be decided. Take at least {statistics.MIN_SEEDS} seeds."
        )
    for name, condition in list(summary["conditions"].items())[1:]:
        if condition["n_compared"] == 0:
            sentences.append(
                f"With {name}, nothing can be compared: in every seed its network or that of the "
                "baseline diverged."
            )
            continue
        for view, what in _SAID_OF.items():
            rows = [
                row
                for row in summary["comparisons"]
                if (row["condition"], row["view"], row["measure"]) == (name, view, "gini")
            ]
            verdicts = [row["verdict"] for row in rows]
            by_layer = "; ".join(_layer_words(row) for row in rows)
            more, less = map(verdicts.count, ("more uniform", "less uniform"))
            same = sum("negligibl" in verdict for verdict in verdicts)
            negligible = f", and changed negligibly in {same}" if same else ""
            sentences.append(
                f"With {name}, {what} are more uniform in {more} of {len(rows)} layers, less in "
                f"{less}{negligible}; Gini: {by_layer}."
            )
    return sentences


def _layer_words(row: dict[str, Any]) -> str:
    return (
        f"layer {row['layer']} {row['verdict']}, "
        f"{row['baseline_mean']:.3f} → {row['condition_mean']:.3f} "
        f"({row['difference']:+.3f} [{row['ci_low']:+.3f}, {row['ci_high']:+.3f}])"
    )
