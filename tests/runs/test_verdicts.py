"""The answer of a comparison in words."""

import pytest

from dropout_jax.runs.picture_table import legend
from dropout_jax.runs.verdicts import short_verdict, verdict
from tests.runs.answers import LESS, MORE, OPEN, SAME, summary

NO_ONE = "no one answer holds for all layers"


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
    (enough,) = verdict(summary([OPEN], [OPEN] * 2, 6))
    assert enough.startswith("With b, ")


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
