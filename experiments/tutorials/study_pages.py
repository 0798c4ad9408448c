"""A page per study, made from its docstring and its record: nobody writes a number by hand.

`write` is called when Sphinx starts. A page has the question, the answer of the index, what was
predicted and whether it held, remarks in words (`remarks/STUDY.md`), the figures and the tables.
"""

import importlib
import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

from experiments.run_all import STUDIES
from experiments.tutorials.study_tables import HEADS, LEFT_OUT, cell, evidence, markdown, table

HERE = Path(__file__).parent
LABEL = 12  # characters that a section's label takes in the docstring of a study
PAIRED = (
    "Differences are paired by seed, and hold for the examples that were measured here. "
    "[Statistics](../statistics.md) explains intervals and adjusted p-values."
)
DESIGN = ("Scientific", "Nuisance", "Fixed", "Judged", "Seen")


def sections(doc: str) -> tuple[str, dict[str, str], str]:
    r"""The title, the labelled sections, and what follows them, of the docstring of a study.

    Example:
      >>> print(sections("Why?\n\nFixed       all\n            of it\n\nMore."))
      ('Why?', {'Fixed': 'all of it'}, 'More.')
    """
    title, *lines = doc.strip().splitlines()
    labelled, rest, label = {}, [], ""
    for line in lines:
        if re.match(r"[A-Z][a-z]+ +$", line[:LABEL]):
            label = line[:LABEL].strip()
            labelled[label] = line[LABEL:]
        elif label and line.startswith(" " * LABEL):
            labelled[label] += " " + line.strip()
        else:
            label = ""
            rest.append(line)
    return title, labelled, "\n".join(rest).strip()


def listed(predicted: str) -> str:
    """Predictions that have a label, such as `P1`, as items of a list.

    Example:
      >>> print(listed("After theory: A1 It falls. A2 It stays."))
      After theory:
      - A1 It falls.
      - A2 It stays.
    """
    items = re.sub(r"(?:^|(?<=[.:;)]) )(?=[A-Z]\d )", "\n- ", predicted)
    return items.replace(" Own:", "\n\nOwn:").strip()


def answer(name: str) -> str:
    """The one sentence that the index of studies says of a study."""
    index = (HERE.parent / "README.md").read_text("utf-8")
    (row,) = re.findall(rf"^\| \[{name}\]\(.*$", index, re.MULTILINE)
    _study, _question, found, *_ = row.split(" | ")
    return found


def environment(record: dict[str, Any]) -> str:
    """Where and how long a study ran, in one line."""
    versions = ", ".join(f"{package} {version}" for package, version in record["versions"].items())
    seconds = ", ".join(
        f"{part} {duration:.0f} s" for part, duration in record.get("seconds", {}).items()
    )
    python, keys = f"Python {record['python']}", f"keys of {record['prng']}"
    return "; ".join(filter(None, [record["machine"], python, versions, keys, seconds]))


def verdict(judged: dict[str, Any]) -> str:
    """Whether a prediction held; `undecided` if an interval is, and the others are `within`.

    Example:
      >>> print(verdict({"held": False, "evidence": {"verdict": "undecided"}}))
      undecided
      >>> print(verdict({"held": None, "evidence": {"ratio": None}}))
      not measured
    """
    if judged["held"] is None:
        return "not measured"
    if judged["held"]:
        return "held"
    rows = judged["evidence"] if isinstance(judged["evidence"], list) else [judged["evidence"]]
    verdicts = {row.get("interval", row.get("verdict")) for row in rows if isinstance(row, dict)}
    return "undecided" if {"undecided"} <= verdicts <= {"undecided", "within"} else "not held"


def predictions(judged: list[dict[str, Any]]) -> str:
    """What was predicted, whether it held, and by what that was judged."""
    lines = [
        [
            str(cell(one["prediction"])),
            str(cell(one["claim"])),
            verdict(one),
            evidence(one["evidence"]),
        ]
        for one in judged
    ]
    return markdown([["prediction", "claim", "verdict", "evidence"], *lines])


def tables(study: ModuleType, summary: dict[str, Any]) -> Iterator[str]:
    """The study's own table, where it makes one, then the parts of its summary, under headings."""
    if hasattr(study, "markdown"):
        yield study.markdown(study.RESULTS).strip()
    yield table({name: value for name, value in summary.items() if cell(value) is not None})
    for name, part in summary.items():
        if cell(part) is None and name not in LEFT_OUT and (text := table(part)):
            head = HEADS.get(name, str(cell(name)))
            yield f"### {head[0].upper()}{head[1:]}\n\n{text}"


def page(name: str) -> str:
    """The page of a study in Markdown.

    Example:
      >>> print(page("soak").splitlines()[0])
      # soak: Do large populations stay within memory, and is what follows their training short?
    """
    study = importlib.import_module(f"experiments.{name}")
    title, labelled, more = sections(study.__doc__ or "")
    record = {
        part: json.loads((study.RESULTS / f"{part}.json").read_text("utf-8"))
        for part in ("config", "environment", "predictions", "summary")
    }
    summary, remarks = record["summary"], HERE / "remarks" / f"{name}.md"
    design = [f"- **{label}:** {labelled[label]}" for label in DESIGN if label in labelled]
    figures = [
        f"![{figure.stem}](../../results/{name}/figures/{figure.name})\n\n*{cell(figure.stem)}*"
        for figure in sorted((study.RESULTS / "figures").glob("*.png"))
    ]
    blocks = [
        f"# {name}: {title}",
        labelled["Question"],
        f"**Answer.** {answer(name)}",
        "## Predictions",
        "Written before the run, unless they say otherwise.",
        listed(labelled["Predicted"]),
        predictions(record["predictions"]),
        "A prediction that did not hold is refuted, or some of its evidence is undecided.",
        remarks.read_text("utf-8").strip() if remarks.exists() else "",
        *(
            f"- {cell(question['said'].replace(' -', ' −'))}"
            for question in summary.get("questions", {}).values()
        ),
        *(["## Figures", *figures] if figures else []),
        "## Tables",
        PAIRED if '"p_adjusted"' in json.dumps(summary) else "",
        *tables(study, summary),
        "## Design",
        "\n".join(design),
        more,
        table(record["config"]),
        "## Run it again",
        f"```sh\n{labelled['Command']}\n```",
        f"It takes {labelled['Time']}. This record: {environment(record['environment'])}.",
    ]
    return "\n\n".join(filter(None, blocks)) + "\n"


def write(folder: Path) -> None:
    """Write the page of every study into a folder of their own, which is emptied first."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    for name in STUDIES:
        (folder / f"{name}.md").write_text(page(name), encoding="utf-8")
