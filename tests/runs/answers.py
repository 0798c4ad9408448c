"""Summaries of comparisons, made from their verdicts."""

MORE, LESS, SAME, OPEN = "more uniform", "less uniform", "negligible", "undecided"


def summary(work, weights, n_compared=8):
    """Of a condition b, by the verdicts on hidden layers and on all layers."""
    rows = [("contribution", l, said) for l, said in enumerate(work)]
    rows += [("entries", l, said) for l, said in enumerate(weights)]
    rows += [("columns", 0, MORE)]  # which is not said
    return {
        "conditions": {"a": {"n_compared": 8}, "b": {"n_compared": n_compared}},
        "statistics": {"smallest_p": 2.0 ** (1 - n_compared)},
        "comparisons": [
            {
                "condition": "b",
                "view": view,
                "layer": l,
                "measure": measure,
                "verdict": said if measure == "gini" else OPEN,
                "difference": 0.1 * l,
            }
            for view, l, said in rows
            for measure in ("gini", "cv")
        ],
    }
