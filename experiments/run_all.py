"""Run every study, one after another; at toy size for a check, at full size for all records.

Command     python -m experiments.run_all [--quick] [--out DIR] [--data-dir DIR] [--fashion-dir DIR]
Time        about six hours on two CPU cores, over twenty-five with full MNIST; minutes at toy size

A study is a module here with a `main` of its own. One that fails is named at the end, when the
others have run, and the exit status is then 1; one that needs a package of the extra [bench] which
is not installed is skipped.
"""

import argparse
import importlib
import sys
import traceback
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from time import perf_counter

import jax

from dropout_jax.io.environment import n_cores
from experiments.shared import record
from experiments.shared.study import RESULTS

OPTIONAL = ("torch",)  # packages that only some studies need
FIRST = "weight_uniformity"  # whose record tells the others how strong L2 is
STUDIES = sorted(
    (p.stem for p in Path(__file__).parent.glob("*.py") if "\ndef main(" in p.read_text("utf-8")),
    key=lambda name: (name != FIRST, name),
)


def run_all(
    names: Sequence[str],
    out: Path,
    quick: bool,
    data_dir: Path | None = None,
    fashion_dir: Path | None = None,
) -> list[str]:
    """Run the studies, each into its folder of `out`; the names of those that failed."""
    failed = []
    for name in names:
        print(f"== {name}", flush=True)
        start = perf_counter()
        try:
            study = importlib.import_module(f"experiments.{name}")
            size = study.QUICK if quick else study.Size()
            if data_dir and hasattr(size, "data_dir"):
                size = replace(size, data_dir=data_dir, dataset="mnist")
            if data_dir and hasattr(size, "test_dir"):
                size = replace(size, test_dir=data_dir)
            if fashion_dir and hasattr(size, "fashion_dir"):
                size = replace(size, fashion_dir=fashion_dir)
            record.begin(out / name, name)
            study.main(out / name, size)
        except (Exception, SystemExit) as error:  # the others are to run
            if isinstance(error, ModuleNotFoundError) and error.name in OPTIONAL:
                print(f"skipped: {error.name} is not installed")
            elif isinstance(error, SystemExit):  # one that needs full MNIST says so
                print(error)
                failed.append(name)
            else:
                traceback.print_exc()
                failed.append(name)
        jax.clear_caches()
        print(f"== {name}: {perf_counter() - start:.0f} s", flush=True)
    return failed


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="toy size (default: full size)")
    where = "folder for the records of all studies (default: results, or runs/quick if --quick)"
    parser.add_argument("--out", type=Path, help=where)
    digits = "folder of full MNIST, for studies that can use it (default: none)"
    parser.add_argument("--data-dir", type=Path, help=digits)
    clothes = "folder of Fashion-MNIST, for studies that can use it (default: none)"
    parser.add_argument("--fashion-dir", type=Path, help=clothes)
    arguments = parser.parse_args()
    out = arguments.out or (Path("runs", "quick") if arguments.quick else RESULTS)
    jax.config.update("jax_num_cpu_devices", n_cores())
    jax.config.update("jax_disable_most_optimizations", arguments.quick)  # toys mostly compile
    failed = run_all(STUDIES, out, arguments.quick, arguments.data_dir, arguments.fashion_dir)
    sys.exit(f"failed: {', '.join(failed)}" if failed else 0)
