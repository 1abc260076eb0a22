"""The settings of a run, checked together, and against the model and the data."""

from typing import Any

from ..data.source import Source
from ..model.model import Model
from ..presets import OWNERS, PLAN
from ..settings import LEARNING_RATES, NOT_STORED, TrainerSettings, declared


def configuration(given: dict[str, Any], source: Source) -> dict[str, Any]:
    """The settings of a run, defaults filled in, checked together."""
    config = {name: value for name, value in given.items() if name not in NOT_STORED}
    if config["learning_rate"] is None:
        config["learning_rate"] = LEARNING_RATES[config["optimizer"]]
    if source.steps is not None:
        if config["order"] != "stream":
            raise ValueError(f"order is for a text, or for long sequences with a seq_length: "
                             f"{source.name} are read whole, all {source.steps} steps, in random "
                             "order")
        config["seq_length"] = source.steps
    if config["valid_split"] not in (None, *source.splits):
        raise ValueError(f"valid_split must be {source.splits[0]!r} for a {source.kind}, not "
                         f"{config['valid_split']!r}")
    config["valid_split"] = config["valid_split"] or source.splits[0]
    check_plan(config | {"valid": given["valid"]})
    decay = config["learning_rate"] * config["weight_decay"]
    if decay >= 1:
        raise ValueError("learning_rate times weight_decay is what an update takes away of every "
                         f"parameter, and must be below 1, not {decay:g}: give a smaller one")
    return config


def check_plan(config: dict[str, Any], whole: bool = True) -> None:
    """Raise ValueError for settings of a run that contradict each other; unless it is `whole` the
    others are in a checkpoint."""
    plan = [name for name in PLAN if config[name]]
    if len(plan) > 1:
        raise ValueError(f"give one of epochs, updates and minutes, not {' and '.join(plan)}")
    if not whole:
        return
    decay, optimizer = config["learning_rate_decay"], config["optimizer"]
    if decay > 1:
        raise ValueError(f"learning_rate_decay must be above 0 and at most 1, not {decay:g}")
    if decay < 1 and config["schedule"] == "cosine":
        raise ValueError("schedule='cosine' lowers the learning rate by itself: leave "
                         f"learning_rate_decay={decay:g} out, or take schedule='constant'")
    for name, owners in OWNERS.items():
        default = declared(TrainerSettings)[name].setting.default
        if optimizer not in owners and config[name] != default:
            raise ValueError(f"{name} is for optimizer={' or '.join(map(repr, owners))}, not "
                             f"{optimizer!r}: leave it out")
    if config["valid"] is not None and config["valid_fraction"]:
        raise ValueError("give one of valid and valid_fraction: valid is validation data of its "
                         "own, and valid_fraction holds out a part of the training data")
    for name in ("valid_every", "patience"):
        if config[name] and not config["valid_fraction"] and config["valid"] is None:
            raise ValueError(f"{name} needs a valid_fraction, the fraction to hold out: give one "
                             "above 0, or validation data of its own as valid")


def check_fit(config: dict[str, Any], model: Model, source: Source, planned: int | None) -> None:
    """Raise ValueError for settings that do not suit the model, the data or the planned updates."""
    if source.row_labels() is None and (config["balance"] or model.config["labels"]):
        raise ValueError(f"labels and balance are for records with labels, and {source.name} has "
                         "none")
    if config["accuracy"] and model.sizes.output_size:
        raise ValueError("accuracy is for predictions of symbols: leave it out for numbers")
    warmup = config["warmup"]
    if config["schedule"] == "cosine" and planned is not None and warmup >= planned:
        raise ValueError(f"a warmup of {warmup} updates leaves nothing of the {planned} "
                         "planned ones to the cosine: give a smaller warmup or a longer plan")
