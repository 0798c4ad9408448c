"""The rows that the papers on dropout publish for MNIST, and the orders that they find.

Srivastava et al. (2014), tables 2 and 9.
"""

from collections.abc import Callable
from typing import NamedTuple

import flax.linen as nn
import jax


class Row(NamedTuple):
    """A network of the papers; `paper` is its test error there in per cent, None if not given.

    It is trained for `times` as many epochs as the first rows, and each learning rate is tried for
    `tuning` epochs. `prediction` was made before.
    """

    paper: float | None
    table: int
    dropout: bool
    max_norm: bool = False
    l2: bool = False
    activation: Callable[[jax.Array], jax.Array] = nn.relu
    times: int = 1
    tuning: int = 2
    prediction: str = "J1"


TABLES = {2: (1024, 1024, 1024), 9: (1024, 1024, 2048)}
ROWS = {
    "ReLU": Row(None, 2, False),
    "ReLU, dropout": Row(1.25, 2, True),
    "ReLU, dropout, max-norm": Row(1.06, 2, True, max_norm=True),
    "logistic, dropout": Row(1.35, 2, True, activation=nn.sigmoid),
    "L2": Row(1.62, 9, False, l2=True),
    "max-norm": Row(1.35, 9, False, max_norm=True),
    "dropout, L2": Row(1.25, 9, True, l2=True),
    "dropout, max-norm": Row(1.05, 9, True, max_norm=True),
}
ROWS |= {
    f"{name}, {word}": ROWS[name]._replace(times=times, tuning=tuning, prediction=prediction)
    for name, word, times, tuning, prediction in (
        ("ReLU, dropout", "longer", 3, 2, "J4"),
        ("dropout, L2", "longer", 3, 6, "J5"),
        ("dropout, max-norm", "longer", 3, 6, "J5"),
        ("ReLU, dropout, max-norm", "longer", 3, 6, "J6"),
        ("logistic, dropout", "longer", 3, 6, "J6"),
        ("ReLU, dropout, max-norm", "longest", 10, 6, "J6"),
        ("logistic, dropout", "longest", 10, 6, "J7"),
    )
}


class Order(NamedTuple):
    """The row that errs less in the paper, the one that errs more, and what predicted it here."""

    better: str
    worse: str
    prediction: str = "J2"


ORDERS = (
    Order("ReLU, dropout", "ReLU"),
    Order("ReLU, dropout, max-norm", "ReLU, dropout"),
    Order("ReLU, dropout", "logistic, dropout"),
    Order("max-norm", "L2"),
    Order("dropout, L2", "L2"),
    Order("dropout, max-norm", "max-norm"),
    Order("dropout, max-norm", "dropout, L2"),
    Order("ReLU, dropout, longer", "ReLU", "J4"),
    Order("dropout, L2, longer", "L2", "J5"),
    Order("dropout, max-norm, longer", "max-norm", "J5"),
    Order("dropout, max-norm, longer", "dropout, L2, longer", "J5"),
    Order("ReLU, dropout, max-norm, longer", "ReLU, dropout, longer", "J6"),
    Order("ReLU, dropout, longer", "logistic, dropout, longer", "J6"),
)
