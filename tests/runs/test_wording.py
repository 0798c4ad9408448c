"""The answer of a comparison in words."""

import json
from pathlib import Path

import pytest

from dropout_jax.cli.arguments import Compare
from dropout_jax.runs.verdicts import short_verdict, verdict
from dropout_jax.runs.wording import (
    describe_condition,
    legend,
    picture,
    question,
    seeds_note,
    why_l2,
)

MORE, LESS, SAME, OPEN = "more uniform", "less uniform", "negligible", "undecided"
NO_ONE = "no one answer holds for all layers"


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


def test_a_condition_that_diverged_in_every_seed_gets_a_sentence_without_numbers():
    (sentence,) = verdict(summary([OPEN], [OPEN] * 2, 0))
    assert sentence.startswith("With b, nothing can be compared")
    assert "nan" not in sentence


def test_networks_that_are_those_of_the_baseline_get_no_verdict():
    told = summary([SAME], [SAME] * 2, 4)
    told["conditions"]["b"]["same_as_baseline"] = True
    (sentence,) = verdict(told)
    assert sentence == (
        "With b, the networks are those of a, bit for bit: the setting had no effect."
    )
    assert short_verdict(told) == "with b, the networks are the baseline's"


def test_networks_that_did_not_learn_are_named():
    told = summary([MORE], [SAME] * 2)
    told["conditions"]["b"]["did_not_learn"] = True
    assert verdict(told)[-1] == (
        "With b, the networks did not learn: their training loss fell by less than a hundredth."
    )


def test_where_all_is_undecided_the_short_answer_says_so():
    assert short_verdict(summary([OPEN], [OPEN] * 2)) == "with b, all is undecided"


def test_where_all_diverged_the_short_answer_says_so():
    told = summary([OPEN], [OPEN] * 2)
    told["conditions"]["b"]["n_compared"] = 0
    assert short_verdict(told) == "with b, nothing can be compared"


def test_few_seeds_are_said_first_and_then_the_verdicts():
    first, *rest = verdict(summary([OPEN], [OPEN] * 2, 4))
    assert "With 4 seeds no test of a direction can reach p < .05 (the smallest p is 0.12)" in first
    assert "Take at least 6 seeds" in first
    assert [sentence[:8] for sentence in rest] == ["With b, "]
    assert verdict(summary([OPEN], [OPEN] * 2, 1))[0].startswith("With 1 seed no test")


@pytest.mark.parametrize(
    ("work", "weights", "lead"),
    [
        ([MORE] * 2, [MORE] * 3, "B spreads the work and the weights: "),
        ([MORE] * 2, [LESS, SAME, MORE], "B spreads the work rather than the weights: "),
        (
            [MORE] * 2,
            ["negligibly more uniform"] * 3,
            "B spreads the work rather than the weights: ",
        ),
        ([LESS] * 2, [MORE, MORE, SAME], "B spreads the weights rather than the work: "),
        ([SAME] * 2, [LESS] * 3, "B spreads neither the work nor the weights: "),
        ([MORE, LESS], [LESS] * 3, "With b, "),  # half of them: neither yes nor no
        ([MORE, MORE, LESS], [LESS] * 4, "With b, "),
        ([OPEN] * 2, [LESS] * 3, "With b, "),  # what is undecided is no
        ([MORE] * 2, [MORE, OPEN, OPEN], "With b, "),
    ],
)
def test_the_lead_says_what_is_spread_where_the_verdicts_decide_it(work, weights, lead):
    (sentence,) = verdict(summary(work, weights))
    assert sentence.startswith(lead)
    is_open = lead == "With b, "
    assert short_verdict(summary(work, weights)) == (
        f"with b, {NO_ONE}" if is_open else lead.removesuffix(": ").replace("B", "b")
    )


def test_few_seeds_of_one_condition_are_said_of_that_one_alone():
    of_b, of_c = summary([OPEN], [OPEN] * 2, 3), summary([MORE], [MORE] * 2)
    rows = [row | {"condition": "c"} for row in of_c["comparisons"]]
    both = of_b | {"comparisons": of_b["comparisons"] + rows}
    both["conditions"]["c"] = {"n_compared": 8}
    first, of_few, of_many = verdict(both)
    assert first.startswith("With 3 seeds of b no test of a direction can reach p < .05 (the small")
    assert of_few.startswith("With b, ")
    assert of_many.startswith("C spreads the work and the weights: ")


@pytest.mark.parametrize(("n", "why"), [(8, "too few live units in a seed"), (0, "diverged")])
def test_where_a_difference_is_missing_is_said_why(n, why):
    told = summary([OPEN], [OPEN] * 2, n)
    told["comparisons"][0]["difference"] = None  # as JSON has it
    assert picture(told)["b", 0]["contributions"].text == why
    assert picture(told)["b", 1]["weights"].text == "+0.100"


def test_every_layer_is_named_with_its_verdict():
    (sentence,) = verdict(summary([MORE, LESS, MORE], [LESS, SAME, OPEN, MORE]))
    assert sentence == (
        "With b, hidden units contribute more evenly in the first hidden layer and the last hidden "
        "layer, less evenly in the middle hidden layer; single weights are spread more evenly in "
        "the output layer, less evenly in the first layer, about as evenly in the "
        "second layer (undecided in the third layer)."
    )
    (same,) = verdict(summary([OPEN], [SAME] * 2))
    assert "how evenly the hidden layer's units contribute is undecided" in same
    assert "single weights are spread about as evenly in every layer" in same


def test_layers_beyond_the_ninth_are_numbered_as_they_are_read():
    (sentence,) = verdict(summary([SAME], [MORE] * 23 + [LESS]))
    assert "the ninth layer, the 10th layer, the 11th layer, the 12th layer, the 13th " in sentence
    assert "the 20th layer, the 21st layer, the 22nd layer and the 23rd layer, less" in sentence


def test_a_network_without_hidden_layers_has_no_work_to_spread():
    (sentence,) = verdict(summary([], [LESS]))
    assert sentence == "With b, single weights are spread less evenly."


@pytest.mark.parametrize(
    ("weights", "short", "said"),
    [
        ([MORE, MORE], "b spreads the weights", "more evenly in every layer."),
        (
            [LESS, SAME, OPEN, OPEN, SAME],
            "b does not spread the weights",
            "less evenly in layer 0, about as evenly in layer 1 and layer 4 (undecided "
            "in layer 2 and layer 3).",
        ),
        ([MORE, OPEN], None, "more evenly in layer 0 (undecided in layer 1)."),
    ],
)
def test_of_a_network_that_is_no_mlp_the_weights_alone_are_spoken_of(weights, short, said):
    told = summary([], weights) | {"layers": [f"layer_{l}.kernel" for l in range(len(weights))]}
    sentence, why = verdict(told)
    lead = f"{short[:1].upper()}{short[1:]}:" if short else "With b,"
    assert sentence == f"{lead} single weights are spread {said}"
    assert why == (
        "Weights alone are compared: contributions and path norms need the activations of units, "
        "which are known for an MLP alone."
    )
    assert short_verdict(told) == (short or f"with b, {NO_ONE}")
    assert "ontribution" not in legend(told)
    assert "Layer 0 is the first." not in legend(told)
    assert verdict(told | {"conditions": {"a": {}}, "comparisons": []}) == []


def test_the_picture_shows_two_views_of_the_gini_each_with_mark_and_difference():
    table = picture(summary([MORE, "negligibly less uniform"], [LESS, OPEN, MORE]))
    assert list(table) == [("b", 0), ("b", 1), ("b", 2)]
    assert table["b", 1]["contributions"] == (SAME, "≈", "+0.100")
    assert table["b", 2] == {"weights": (MORE, "▲", "+0.200")}


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


def of_many(**found):
    """A summary of conditions, from the verdicts on their hidden layers and on all layers."""
    parts = {name: summary(work, weights) for name, (work, weights) in found.items()}
    rows = [row | {"condition": n} for n, of in parts.items() for row in of["comparisons"]]
    return {
        "conditions": {name: {"n_compared": 8} for name in ("a", *found)},
        "comparisons": rows,
    }


def test_conditions_with_the_same_verdicts_share_a_sentence():
    alike = ([MORE] * 2, [LESS, SAME, SAME])
    told = of_many(b=alike, c=alike, d=alike, l2=([LESS] * 2, [LESS] * 3))
    first, second = verdict(told)
    assert first.startswith(
        "B, c and d spread the work rather than the weights: the units of every"
    )
    assert "about as evenly in the middle layer and the output layer" in first
    assert second.startswith("L2 spreads neither the work nor the weights: ")
    assert short_verdict(told).startswith(
        "b, c and d spread the work rather than the weights; l2 spreads "
    )


def test_more_than_two_different_verdicts_are_one_sentence_without_the_layers():
    one, other = ([MORE] * 2, [LESS, SAME, SAME]), ([MORE, OPEN, MORE], [LESS, LESS, SAME, SAME])
    few = verdict(of_many(b=one, c=other))
    assert [sentence[:2] for sentence in few] == ["B ", "C "]
    mixed, unknown, gone = ([MORE, LESS], [LESS] * 3), ([OPEN] * 2, [OPEN] * 3), ([OPEN], [OPEN])
    told = of_many(b=one, c=other, d=mixed, e=unknown, f=gone, l2=([LESS] * 2, [LESS] * 3))
    told["conditions"]["f"]["n_compared"] = 0
    assert verdict(told) == [
        f"B and c spread the work rather than the weights; with d, {NO_ONE}; with e, all is "
        "undecided; with f, nothing can be compared; l2 spreads neither the work nor the weights."
    ]


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
