"""The answer of a comparison in words."""

from dropout_jax.runs.wording import answer


def summary(n_compared):
    row = {"condition": "b", "view": "entries", "measure": "gini", "verdict": "undecided"}
    numbers = ("baseline_mean", "condition_mean", "difference", "ci_low", "ci_high")
    return {
        "conditions": {"a": {"n_compared": 8}, "b": {"n_compared": n_compared}},
        "statistics": {"smallest_p": 2.0 ** (1 - n_compared)},
        "comparisons": [row | {"layer": 0} | dict.fromkeys(numbers, float("nan"))],
    }


def test_a_condition_that_diverged_in_every_seed_gets_a_sentence_without_numbers():
    (sentence,) = answer(summary(0))
    assert sentence.startswith("With b, nothing can be compared")
    assert "nan" not in sentence


def test_few_seeds_are_said_first_and_then_the_verdicts():
    first, *rest = answer(summary(4))
    assert "With 4 seeds no test can reach p < .05 (the smallest is 0.12)" in first
    assert all("With b, " in sentence for sentence in rest)
