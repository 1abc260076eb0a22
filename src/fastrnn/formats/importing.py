"""`fastrnn.import_model`: a model of a file that another program wrote."""

import os

from ..model.model import Model
from .format import of_path
from .table import READABLE


def import_model(path: str | os.PathLike[str]) -> Model:
    """Make a model of a file that another program wrote. The end of its name says the format.

    Parameters
    ----------
    path : str or path-like

    Returns
    -------
    Model
        Without a history: what trained it did not say how.

    Raises
    ------
    ValueError
        Another ending; a damaged file; a network that fastrnn cannot express, with the name of its
        layer and the reason.
    OSError
        There is no such file, or it cannot be read.
    """
    chosen = of_path(READABLE, path, "reads")
    assert chosen.read is not None
    return chosen.read(path)
