"""Figures as files, PNG and SVG, that can be compared byte for byte."""

from collections.abc import Sequence
from pathlib import Path

import matplotlib as mpl
from matplotlib.figure import Figure

from dropout_jax.io.writers import write_atomically

_DPI = 120


def write_figure(
    folder: Path,
    name: str,
    figure: Figure,
    formats: Sequence[str] = ("png", "svg"),
    dpi: int = _DPI,
) -> None:
    """Write a figure in each format; the same figure makes the same bytes.

    Example:
      >>> import tempfile
      >>> with tempfile.TemporaryDirectory() as folder:
      ...     write_figure(Path(folder), "empty", Figure(figsize=(1, 1)))
      ...     print(sorted(path.name for path in Path(folder).iterdir()))
      ['empty.png', 'empty.svg']
    """
    for kind in formats:
        metadata = {"svg": {"Date": None}, "pdf": {"CreationDate": None}}.get(kind)
        with mpl.rc_context({"svg.hashsalt": name}):
            write_atomically(
                folder / f"{name}.{kind}",
                lambda file, kind=kind, metadata=metadata: figure.savefig(
                    file, format=kind, dpi=dpi, metadata=metadata
                ),
            )
        figure.set_layout_engine("none")  # the layout of the first format holds for all
