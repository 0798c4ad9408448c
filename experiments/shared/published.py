"""The rows that the papers on dropout publish for MNIST, and the orders that they find.

Srivastava et al. (2014), tables 2 and 9, and the script of pylearn2 (Goodfellow et al. 2013),
`papers/dropout/mnist.yaml`.

The papers drop without rescaling in training and scale the weights afterwards. Here training
rescales, so their bound c on a column's norm is c times the probability to keep its inputs.
"""

from collections.abc import Callable
from typing import NamedTuple

import flax.linen as nn
import jax


class Row(NamedTuple):
    """A network of the papers; `paper` is its test error there in per cent, None if not given.

    It is trained for `times` as many epochs as the first rows, and each learning rate is tried for
    `tuning` epochs. Initial kernels are LeCun's times `scale`. `bounds` are those on the norms of
    columns, layer by layer, where the output layer has one too; `max_norm` is the one bound of all
    hidden layers. `prediction` was made before.
    """

    paper: float | None
    table: int | str
    dropout: bool
    max_norm: bool = False
    l2: bool = False
    activation: Callable[[jax.Array], jax.Array] = nn.relu
    times: int = 1
    tuning: int = 2
    prediction: str = "J1"
    scale: float = 1.0
    bounds: tuple[float, ...] | None = None


SCRIPT = "pylearn2"
TABLES: dict[int | str, tuple[int, ...]] = {
    2: (1024, 1024, 1024),
    9: (1024, 1024, 2048),
    SCRIPT: (898, 1532),
}
SCRIPT_RANGES = (0.00891030471479, 0.0575059125935, 0.0)  # of uniform initial kernels
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
_LOGISTIC = ROWS["logistic, dropout"]._replace(scale=4.0, tuning=6)
_OWN_BOUNDS = {"max_norm": False, "bounds": (1.6, 1.0, 1.0, 1.0), "times": 10, "tuning": 6}
ROWS |= {
    "logistic times 4, dropout, longer": _LOGISTIC._replace(times=3, prediction="J8"),
    "logistic times 4, dropout, longest": _LOGISTIC._replace(times=10, prediction="J9"),
    "ReLU, longest": ROWS["ReLU"]._replace(times=10, tuning=6, prediction="J12"),
    "dropout, max-norm of the paper, longest": ROWS["dropout, max-norm"]._replace(
        **_OWN_BOUNDS, prediction="J11"
    ),
    "pylearn2's script": Row(
        1.05, SCRIPT, True, times=22, bounds=(4.378017, 2.970242, 4.626974), prediction="J10"
    ),
    "ReLU, dropout, max-norm of the paper, longest": ROWS["ReLU, dropout, max-norm"]._replace(
        **_OWN_BOUNDS, prediction="J13"
    ),
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
    Order("ReLU, dropout, longer", "ReLU, longest", "J12"),
)
