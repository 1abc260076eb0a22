"""How many parameters a model has, and which hidden size gives as many."""

from bisect import bisect_left
from math import prod
from typing import Any, Unpack

from ..cells import CELLS
from ..data.source import Sizes, sizes_of
from ..data.vocabulary import Vocabulary
from ..settings import ShapeSettings, checked, documented
from ..validate import choice, positive_int
from .network import Network, parameter_shapes


def parameter_count(model: Network) -> int:
    """The number of trained parameters (an int) of a Model."""
    return model.block.size


@documented(ShapeSettings)
def hidden_size_for(
    cell: str, parameters: int, vocabulary: Vocabulary | Sizes, **settings: Unpack[ShapeSettings]
) -> int:
    """The hidden size of the model whose number of parameters is closest to a given one, so that
    cells can be compared at equal size.

    Parameters
    ----------
    cell : str
        The recurrent cell, a name that `fastrnn.Model` takes.
    parameters : int
        The wanted number of parameters, for example the `parameter_count` of another model.
    vocabulary : Vocabulary or Sizes
        What the model reads and predicts, as for `fastrnn.Model`.
    **settings
        `ShapeSettings`.

    Raises
    ------
    ValueError, TypeError
        Fewer parameters than a model of one unit has, or an argument outside its range.
    """
    config: dict[str, Any] = checked(ShapeSettings, dict(settings), "hidden_size_for")
    config["cell"] = choice("cell", cell, CELLS)
    sizes = sizes_of(vocabulary)
    positive_int("parameters", parameters)

    def count(hidden_size: int) -> int:
        shapes = parameter_shapes(sizes, config | {"hidden_size": hidden_size})
        return sum(map(prod, shapes.values()))

    if parameters < count(1):
        raise ValueError(f"a {cell} of one unit has {count(1)} parameters already, more than "
                         f"{parameters}")
    above = 1 + bisect_left(range(1, parameters), parameters, key=count)  # the first with as many
    return min(max(1, above - 1), above, key=lambda size: abs(count(size) - parameters))
