"""The words for conditions, seeds and layers."""

import json
from pathlib import Path

import pytest

from dropout_jax.cli.arguments import Compare
from dropout_jax.runs.wording import describe_condition, question, seeds_note, short_names, why_l2


def test_a_condition_is_described_by_its_rates_and_its_decay():
    both = {"rates": [0.2, 0.5], "weight_decay": 1e-4}
    assert describe_condition(both) == "pixels 0.2, hidden 0.5, weight decay 0.0001"
    assert describe_condition({"rates": [0.2], "weight_decay": 0.0}) == "pixels 0.2"
    bounded = {"rates": [0.0], "weight_decay": 0.0, "momentum": 0.0, "max_norm": 2.0}
    assert describe_condition(bounded) == "no dropout, momentum 0, max norm 2"


def test_the_question_of_the_lecture_is_asked_where_dropout_stands_between_none_and_l2():
    of_lecture = "Does dropout spread the weights?"
    assert question(["none", "dropout", "l2"]) == of_lecture
    assert question(["none", "dropout 0.2", "dropout 0.5", "l2"]) == of_lecture
    assert question(["none", "l2"]) == "What spreads the weights, compared with none?"
    assert question(["none"]) == "How are the weights of none spread?"


@pytest.mark.parametrize("n", [6, 10, 100])
def test_enough_seeds_are_told_with_how_many_are_too_few(n):
    said = seeds_note(n)
    assert said.startswith(f"With {n} seeds")
    assert said.endswith("; with fewer than 6 no direction could be decided.")


def test_the_strength_of_l2_is_a_third_of_the_tuned_one_and_told_if_it_is_the_default():
    record = Path(__file__).parents[2] / "experiments/results/weight_uniformity/config.json"
    tuned = json.loads(record.read_text("utf-8"))["l2"]
    default = Compare().weight_decay
    assert tuned == pytest.approx(3 * default)
    said = why_l2({"conditions": {"l2": {"weight_decay": default}}})
    assert f"{default}, is the fixed default" in said
    assert f"{tuned}, which the study weight_uniformity tuned" in said
    assert why_l2({"conditions": {"l2": {"weight_decay": tuned}}}) == ""
    assert why_l2({"conditions": {"b": {"weight_decay": default}}}) == ""


@pytest.mark.parametrize(
    ("names", "labels"),
    [
        (
            [
                f"{part}.{b}.MultiHeadDotProductAttention_0.key.kernel"
                for part in "ab"
                for b in "01"
            ],
            ["a.0…key.kernel", "a.1…key.kernel", "b.0…key.kernel", "b.1…key.kernel"],
        ),
        (
            [
                f"Block_{b}.MultiHeadDotProductAttention_0.{part}.kernel"
                for b in "01"
                for part in ("key", "out")
            ],
            [
                "Block_0…key.kernel",
                "Block_0…out.kernel",
                "Block_1…key.kernel",
                "Block_1…out.kernel",
            ],
        ),
        (
            [f"transformer/h{b}/multi_head_attention/query_heads/w" for b in range(2)],
            ["h0…query_heads/w", "h1…query_heads/w"],
        ),
        (
            [f"{'x' * n}.{'y' * 30}.kernel" for n in (1, 2)] + [f"{'y' * 30}.kernel"],
            ["x…kernel", "xx…kernel", "…kernel"],
        ),
    ],
)
def test_names_that_are_cut_alike_also_show_the_words_that_tell_them_apart(names, labels):
    assert list(short_names(names).values()) == labels
