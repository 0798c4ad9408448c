"""The command line of a study."""

import argparse
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import jax

from dropout_jax.io.environment import n_cores
from experiments.shared import record

_FOLDERS = {  # what may become an option, and its help
    "data_dir": "folder of the four IDX files of full MNIST, to train and test on (default: none)",
    "test_dir": "folder of the four IDX files of full MNIST, to test on (default: none)",
    "fashion_dir": "folder of the four IDX files of Fashion-MNIST (default: none)",
    "cache": "folder of what is trained, from which an interrupted study goes on "
    "(default: in runs, or none if --quick)",
}


def start(
    doc: str | None,
    main: Callable[[Path, Any], None],
    results: Path,
    full: Any,
    quick: Any,
    folders: Sequence[str] = (),
) -> None:
    """Run a study as its command line asks.

    `--quick` runs it at toy size and writes into runs/quick; `--out` names another folder.
    `folders` are fields of the size that become options; with `data_dir` the data is full MNIST.
    """
    parser = argparse.ArgumentParser(description=(doc or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="toy size (default: full size)")
    where = "folder of the record (default: in results, or in runs/quick if --quick)"
    parser.add_argument("--out", type=Path, help=where)
    for name in folders:
        parser.add_argument(f"--{name.replace('_', '-')}", type=Path, help=_FOLDERS[name])
    arguments = parser.parse_args()
    options = {name: getattr(arguments, name) for name in folders if getattr(arguments, name)}
    if "data_dir" in options:
        options["dataset"] = "mnist"
    jax.config.update("jax_num_cpu_devices", n_cores())
    out = arguments.out or (Path("runs", "quick", results.name) if arguments.quick else results)
    try:
        record.begin(out, results.name)
    except (OSError, ValueError) as error:
        parser.error(str(error))
    main(out, replace(quick if arguments.quick else full, **options))
    if arguments.quick:
        print(f"Toy size: no prediction is about networks so small. The record is in {out}.")
