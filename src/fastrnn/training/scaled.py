"""The scaling of a run's numbers, and whether the trained model is better than their mean."""

from collections.abc import Mapping
from typing import Any

from ..data.scaling import Scaling
from ..data.source import Source
from ..model.history import History
from ..model.model import Model
from ..model.scoring import mean_loss

STEPS = 2**17  # of the training data, at most, on which a model is compared with the mean


def scaling_of(model: Model, source: Source, config: Mapping[str, Any]) -> Scaling:
    """How the model scales numbers: as it was trained, or a new one by the data of this source.
    ValueError where that contradicts the setting `scale`."""
    known = model.scaling
    if known is None:
        return (source.scaling() if config["scale"] else None) or Scaling()
    if known.tensors and not config["scale"]:
        raise ValueError("scale must be True for a model that has learned scaled numbers: leave "
                         "scale out, or begin with a new model")
    return known


def worse_than_mean(model: Model, source: Source, held_out: Source | None,
                    history: History) -> str | None:
    """The words of a warning where the squared error of a trained model, on the validation data or
    else on the training data, is above that of predicting the mean of the training targets."""
    mean = source.target_mean()
    if mean is None:
        return None
    if held_out is not None and history.valid_loss.size:
        judged, what, loss = held_out, "validation", history.lowest_validation()[0]
    else:
        judged, what = source.part(STEPS), "training"
        try:
            loss = mean_loss(model, [(judged, None)], model.state)
        except (ValueError, MemoryError):  # the memory is short: a trained model is not lost for it
            return None
    error = judged.error_of(mean)
    if not loss > error:
        return None
    advice = "" if model.scaling is not None and model.scaling.tensors else ", or with scale=True"
    return (f"the model is worse than the mean: its squared error on the {what} data is {loss:.4g},"
            f" and {error:.4g} if the mean of the training targets is predicted everywhere; train "
            f"longer, or with another learning_rate{advice}")
