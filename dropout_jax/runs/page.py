"""A run as one page of HTML that needs no other file: answer, figures, tables, configuration.

Jinja2 escapes every name that a user chose. Print, and a browser without scripts, show all figures.
With scripts, controls choose among the figures, and buttons save the tables.

Shapes: C conditions, S seeds, P points of a learning curve, Q points of a profile, N weights.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import jinja2
import numpy as np
from markupsafe import Markup

from dropout_jax.analysis.uniformity import Profile
from dropout_jax.runs import page_panels, picture_table, wording
from dropout_jax.runs.verdicts import verdict
from dropout_jax.runs.views import SHOWN, explain_views, sort_by_view, view_name

TEMPLATES = jinja2.Environment(  # of this folder
    loader=jinja2.PackageLoader("dropout_jax.runs", ""),
    autoescape=True,
    undefined=jinja2.StrictUndefined,
)
_STYLE = (  # of an answer that stands alone; a page has its own
    "<style>.picture .more-uniform { color: #00795a; font-weight: 600 } "
    ".picture .less-uniform { color: #c04f00; font-weight: 600 }</style>"
)


class Contents(NamedTuple):
    """What a page is made of.

    Attributes:
      summary: of the comparison, as in `summary.json`.
      question: the one that `answer` answers.
      answer: its sentences.
      settings: as in `config.json`.
      environment: as in `environment.json`.
      interrupted: whether seeds are missing.
      magnitudes: {layer title: {condition: |w| [N]}} of one network each.
      changes: {condition: {layer title: mean difference in Gini of |w| over seeds}}.
      profiles: {title: `Profile` [C, S, Q]} of the weights of layers.
      units: the same of the contributions of hidden layers' units.
      epochs: where the curves were measured [P].
      curves: {"train_loss": [C, S, P], …}; losses in nats, errors as fractions, unless the summary
        has them as `own_metrics`.
    """

    summary: Mapping[str, Any]
    question: str
    answer: Sequence[str]
    settings: Mapping[str, Any]
    environment: Mapping[str, Any]
    interrupted: bool
    magnitudes: Mapping[str, Mapping[str, np.ndarray]]
    changes: Mapping[str, Mapping[str, float]]
    profiles: Mapping[str, Profile]
    units: Mapping[str, Profile]
    epochs: np.ndarray
    curves: Mapping[str, np.ndarray]


def render(contents: Contents) -> str:
    """The whole page."""
    summary, layers = contents.summary, list(contents.magnitudes)
    names, is_mlp = list(summary["conditions"]), wording.of_mlp(summary)
    rows, own = summary["comparisons"], summary.get("own_metrics", ())
    return TEMPLATES.get_template("page.html.jinja").render(
        contents._asdict(),
        views=[wording.ADJUSTED, *explain_views(row["view"] for row in rows)],
        view_name=view_name,
        why_l2=wording.why_l2(summary),
        comparisons=[
            row for name in names for row in sort_by_view(rows) if row["condition"] == name
        ],
        names=names,
        of_mlp=is_mlp,
        described={
            name: wording.describe_condition(h, is_mlp) for name, h in summary["conditions"].items()
        },
        answer_html=_answer(summary, contents.answer),
        swatches=page_panels.swatches(names),
        layers=layers,
        weights=page_panels.weight_panels(contents.magnitudes, contents.changes),
        start=layers[_most_changed_layer(rows)],
        sorted_weights=page_panels.profile_panels(contents.profiles, names, "|w|"),
        sorted_units=page_panels.profile_panels(contents.units, names, "contribution"),
        differences=page_panels.difference_panels(rows, names),
        own=own,
        learning=page_panels.curve_panels(contents.epochs, contents.curves, names, own),
        curve_rows=[
            (
                name,
                int(epoch),
                [
                    (1 if "loss" in curve or "error" in own else 100) * float(v[c, :, p].mean())
                    for curve, v in contents.curves.items()
                ],
            )
            for c, name in enumerate(names)
            for p, epoch in enumerate(contents.epochs)
        ],
        weight_table=_weight_table(contents.magnitudes),
        measures=list(dict.fromkeys(row["measure"] for row in rows)),
        settings=wording.flat(contents.settings),
        environment=wording.flat(contents.environment),
    )


def answer(summary: Mapping[str, Any]) -> str:
    """The answer of a comparison as HTML that stands alone, as in a notebook."""
    return str(Markup(_STYLE) + _answer(summary, verdict(summary)))


def _answer(summary: Mapping[str, Any], sentences: Sequence[str]) -> Markup:
    """The sentences and the picture-table."""
    html = TEMPLATES.get_template("answer.html.jinja").render(
        sentences=sentences,
        picture=picture_table.picture(summary),
        headings=list(SHOWN.values()) if wording.of_mlp(summary) else ["weights"],
        legend=picture_table.legend(summary),
        kernels=summary.get("layers"),
        gini=wording.GINI,
    )
    return Markup(html)


def _most_changed_layer(rows: Sequence[Mapping[str, Any]]) -> int:
    """The layer whose weights differ most, of the differences that are decided; 0 if none is."""
    decided = {
        abs(row["difference"]): row["layer"]
        for row in rows
        if (row["view"], row["measure"]) == ("entries", "gini")
        and row["verdict"] in ("more uniform", "less uniform")
    }
    return decided[max(decided)] if decided else 0


def _weight_table(magnitudes: Mapping[str, Mapping[str, np.ndarray]]) -> list[dict[str, Any]]:
    """What the plots of weights show, in numbers; NaN without weights."""
    table = []
    for layer, of_conditions in magnitudes.items():
        for name, a in of_conditions.items():
            some = a if len(a) else np.array([np.nan])
            row = {"layer": layer, "condition": name, "weights": len(a), "mean": float(some.mean())}
            for key, q in (("smallest", 0), ("median", 0.5), ("largest", 1)):
                row[key] = float(np.quantile(some, q))
            table.append(row)
    return table
