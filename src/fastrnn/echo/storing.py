"""The tensors and the JSON in a file that stores an echo state network.

Tensors: Wout, the mean and standard deviation of the targets (``targets``), the reservoir's (Win,
Wfb, b and W in SciPy's CSR layout), parameters that are arrays (leak_rate, input_scale) and
``step_state`` (N, units + K) where it was asked for. JSON: ``echo_state_network``.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..files.store import Tensors, expect
from ..settings import EchoSettings, declared
from ..validate import boolean, choice, positive_float, positive_int
from .fitted import Fitted
from .fitting import GIVEN
from .reservoir import Reservoir

PARAMETERS = declared(EchoSettings)
EACH = ("leak_rate", "input_scale")  # numbers that may be arrays


def checked_params(settings: Any) -> dict[str, Any]:
    """The parameters of a network, checked, as plain Python values."""
    return {name: one.checked(getattr(settings, name)) for name, one in PARAMETERS.items()}


def stored(fit: Fitted, step_state: NDArray[Any] | None) -> tuple[Tensors, dict[str, Any]]:
    """Tensors and JSON of a network, with the state of its steps if one is given."""
    given = [name for name in GIVEN if fit.params[name] is not None]
    each = {name: fit.params[name] for name in EACH if np.ndim(fit.params[name])}
    params = fit.params | dict.fromkeys([*given, *each])  # they are tensors
    tensors = {"Wout": fit.Wout} | each | fit.reservoir.tensors
    if np.isfinite(fit.about).all():  # else they are not known, as of a file of fastrnn 0.1
        tensors["targets"] = fit.about
    if step_state is not None:
        tensors["step_state"] = step_state
    return tensors, {"parameters": params, "given": given, "inputs": fit.reservoir.Win.shape[1],
                     "fed_back": fit.reservoir.Wfb.shape[1], "flat": fit.flat,
                     "continues": fit.continues, "ridge": fit.ridge}


def restored(tensors: Tensors, about: dict[str, Any]) -> tuple[dict[str, Any], Fitted]:
    """The parameters of the constructor, and what was fitted. ValueError, KeyError or TypeError for
    what `stored` cannot have returned."""
    settings = about["parameters"]
    if "warmup" not in settings:  # a file of fastrnn 0.1
        settings = settings | {"warmup": about["warmup"], "start": "zero"}
    settings = settings | {name: tensors[name] for name in EACH if settings[name] is None}
    params = checked_params(EchoSettings(**settings))
    units, dtype, Wout = params["units"], params["dtype"], tensors["Wout"]
    D = positive_int("inputs", about["inputs"], least=0 if params["feedback"] else 1)
    K = positive_int("outputs", len(Wout))
    fed_back = positive_int("fed_back", about["fed_back"], least=0)
    expect(tensors, "Wout", (K, 1 + D + units), dtype)
    if fed_back != (K if params["feedback"] else 0) or not np.isfinite(Wout).all():
        raise ValueError("tensor Wout is not finite, or has another K than Wfb")
    reservoir = Reservoir.from_tensors(tensors, params["leak_rate"], units, D, fed_back, dtype)
    for name in about.get("given", ()):
        weights = getattr(reservoir, "b" if choice("given", name, GIVEN) == "bias" else name)
        settings[name] = params[name] = weights
    # files of fastrnn 0.1 have no targets, and do not say continues and ridge
    targets = tensors.get("targets", np.array([[0.0], [np.inf]]).repeat(K, 1))
    if "targets" in tensors:
        expect(tensors, "targets", (2, K), "float64")
        if not np.isfinite(targets).all():
            raise ValueError("tensor targets is not finite")
    flat = boolean("flat", about["flat"])
    if flat and K > 1:
        raise ValueError(f"flat is for one output, and there are {K}")
    ridge = positive_float("ridge", about.get("ridge", params["ridge"]), zero=True)
    return settings, Fitted(params, reservoir, Wout, ridge, flat,
                            boolean("continues", about.get("continues", True)), targets)
