"""How Sphinx makes the pages: from docstrings, by running tutorials, from records of studies."""

import importlib.metadata
import inspect
import re
import sys
from functools import partial
from pathlib import Path
from typing import Any, NewType

import jax.typing

project = "dropout_jax"
author = "The authors of dropout_jax"
release = importlib.metadata.version("dropout_jax")
extensions = ["sphinx.ext.autodoc", "sphinx.ext.napoleon", "myst_nb"]
html_theme = "furo"
html_title = "dropout_jax"
html_show_copyright = False

exclude_patterns = ["remarks"]  # parts of pages

nb_execution_mode = "force"
nb_execution_raise_on_error = True
nb_execution_timeout = 300  # seconds a cell
nb_merge_streams = True
myst_enable_extensions = ["dollarmath", "deflist"]

default_role = "code"
add_module_names = False
maximum_signature_line_length = 130  # with the names of modules, which are not shown
autodoc_member_order = "bysource"
FUNCTIONS = "activation, kernel_init, noise, loss_fn, make_optimizer"  # fields, that seem methods
autodoc_default_options = {"members": True, "exclude-members": FUNCTIONS}
autodoc_typehints_format = "short"
autodoc_preserve_defaults = True
napoleon_use_ivar = True
napoleon_attr_annotations = False  # the signature says them, in short

# One word in a signature, not the union of seven types that it stands for; set before the library
# is imported, which reads it; type checkers take it for a constant.
jax.typing.ArrayLike = NewType("ArrayLike", object)  # pyright: ignore[reportAttributeAccessIssue]


def escape(_app: Any, _what: str, _name: str, _obj: Any, _options: Any, lines: list[str]) -> None:
    """In a docstring |w| is a magnitude and * a product, but for examples and escaped names."""
    in_example = False
    for i, line in enumerate(lines):
        in_example = bool(line.strip()) and (in_example or line.lstrip().startswith(">>>"))
        if not in_example:
            lines[i] = re.sub(r"(?<!\\)[|*]", r"\\\g<0>", line)


def shorten(
    _app: Any, _what: str, _name: str, _obj: Any, _options: Any, signature: str, returns: str
) -> tuple[str, str] | None:
    """Leave out of a signature what Flax adds to its modules, and where functions lie."""
    if not signature:
        return None
    signature = re.sub(r", parent: .*\)$", ")", signature)
    signature = re.sub(r"<function (\w+)( at \w+)?>", r"\1", signature)
    return re.sub(r"<.*?>(?=[,)])", "...", signature), returns


def skip(_app: Any, _what: str, _name: str, member: Any, _skip: bool, _options: Any) -> bool | None:
    """Fields of a NamedTuple are told by its signature and Attributes, not by their numbers."""
    return type(member).__name__ == "_tuplegetter" or None


def to_pages(_app: Any, _name: str, source: list[str]) -> None:
    """A link to the script of a study, for readers of the repository, goes to its page."""
    source[0] = re.sub(r"\]\(\.\./(\w+)\.py\)", r"](studies/\1)", source[0])


def setup(app: Any) -> None:
    """What autodoc is told beyond its settings."""
    here = Path(__file__).parent
    sys.path.insert(0, str(here.parent.parent))
    from dropout_jax.networks.nnx import MLP, Dropout
    from experiments.tutorials.study_pages import write

    write(here / "studies")
    # The metaclass of an NNX module takes (*args, **kwargs): that of a bound __init__.
    # Type checkers know of no signature to set.
    for module in (MLP, Dropout):
        module.__signature__ = inspect.signature(partial(module.__init__, None))  # pyright: ignore
    app.connect("autodoc-process-docstring", escape)
    app.connect("autodoc-process-signature", shorten)
    app.connect("autodoc-skip-member", skip)
    app.connect("source-read", to_pages)
