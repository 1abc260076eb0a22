"""The updates of a training run, and everything that they change."""

import math
import time
import warnings
import zlib
from collections.abc import Callable, Iterator, Mapping
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import kernels
from ..data.source import Order, Reading
from ..files.store import Tensors, expect, packed, unpacked
from ..kernels.blas import cores
from ..kernels.memory import check_memory
from ..kernels.team import no_fork
from ..model.history import History
from ..model.model import Model
from ..optim import rule_of
from .divergence import DIVERGED, GOOD, LastGood, loss_of_guessing, spike
from .leading import leading
from .plan import NEVER


class Updates:
    """Makes the updates of a run. `validated`: the best parameters are those of a validation.

    Attributes
    ----------
    training : kernels.Training
        The compiled loop, with the counters.
    averaged : Model
        A copy of the model that has its averaged parameters; without weight_average the model.
    state : ndarray, shape (N, P)
        State of the streams after the last window.
    best, best_state : ndarray, shapes (size,) and (1, P)
        Parameters of the best model, and with validation the state it was measured from.
    memories : list of ndarray, shape (size,)
        Of the optimizer.
    rng, generators : numpy.random.Generator, list of them
        For samples and for what is drawn once; for dropout and weight_drop, one for each slice of
        a batch.
    history : History
    isa : str
        The instruction set of the kernels.
    good : LastGood
    guess : float
        Loss of one prediction by guessing or, if that is larger, at the start of the run.
    slices : int
        How many a batch has.
    changed : bool
        Whether something else than an update has changed parameters, memories, state or generators
        since rank 0 told other ranks of them.
    shared : bool
        Whether the slices are shared with other ranks.

    Parameters, memories, counters and history change together while `model.lock` is held.
    """

    def __init__(self, model: Model, reading: Reading, config: Mapping[str, Any], history: History,
                 threads: int, validated: bool) -> None:
        self._model, self._reading, self._config = model, reading, config
        self.history, self._validated = history, validated
        self._steps, rule = reading.steps or config["seq_length"], rule_of(config)
        network = model.network(self._steps, config["batch_size"])
        long = model.network(reading.alone, 1) if reading.alone else None
        # parameters, memories, best and average, their last good copies, and the gradient
        averages = bool(config["weight_average"])
        blocks = 2 * (2 + rule.memories + averages) + 1
        check_memory(network.nbytes + (long.nbytes if long else 0) + blocks * model.block.nbytes,
                     f"training {model.block.size:,} parameters with a batch of "
                     f"{config['batch_size']} and {self._steps} steps",
                     "a smaller hidden_size, batch_size or seq_length")
        self.state, self.isa = model.zero_state(config["batch_size"]), network.isa
        self.averaged = model.copy() if averages else model
        self.averaged.isa = model.isa
        self.slices, self._rows = len(network.slices), network.slices
        self._threads, self.changed, self.shared = threads, True, False
        self.best, self.best_state = np.zeros_like(model.block), model.zero_state()
        self.rng = np.random.default_rng(config["seed"])
        self.order_seed = int(self.rng.integers(2**63)) if reading.order else 0
        self._order: tuple[int, Order] | None = None  # with its epoch
        drops = model.config["dropout"] or model.config["weight_drop"]
        self.generators = self.rng.spawn(len(network.slices)) if drops else []
        self.memories = [np.zeros_like(model.block) for _ in range(rule.memories)]
        arrays: dict[str, Any] = dict(reading.arrays)
        how: dict[str, Any] = {
            "threads": threads, "best_every": NEVER if validated else 100,
            "epoch_updates": reading.updates_per_epoch if reading.order else 0,
            "teacher_weight": config["teacher_weight"]}
        if averages:
            how |= {"average": self.averaged.block, "averaged": config["weight_average"]}
        self.training = self._last = kernels.Training(
            network, rule, model.block, self.memories, self.state, self.best,
            generators=self.generators or None, **how, **arrays)
        self._long: kernels.Training | None = None  # for rows that are much longer than the others
        if long:  # a row alone counts as much as it would in a batch with others
            steps = arrays["mask" if "mask" in arrays else "ids"].size
            arrays["weights"] = arrays.get("weights", np.ones(steps)) / config["batch_size"]
            self._long = kernels.Training(
                long, rule, model.block, self.memories, model.zero_state(), self.best,
                generators=self.generators[:1] or None, **how, **arrays)
        self.good, self.guess = LastGood(), loss_of_guessing(model, reading)
        self._left = math.nan  # the sum of the parameters when the last run ended
        self._rate = math.nan  # the learning rate of the last update
        self._risen = 0  # update of the last sudden rise of the loss that was told

    def begin(self) -> None:
        """To be called before a run. If the parameters were changed since the last one by others,
        they are looked at, so that going back does not undo the change."""
        if self._sum() != self._left:
            self.good.look()
            self.changed = True

    def end(self) -> None:
        """To be called after a run."""
        self._left = self._sum()

    def _sum(self) -> float:
        with np.errstate(all="ignore"):
            return float(self._model.block.sum())

    def rows(self, n: int) -> tuple[Any, ...]:
        """Starts, lengths and labels, each (n N,) or None, of the rows that the next n updates read
        in this epoch; nothing where streams of a text are read."""
        draw, epoch = self._reading.order, self.training.epoch
        if draw is None:
            return ()
        if self._order is None or self._order[0] != epoch:
            self._order = epoch, draw(np.random.default_rng((self.order_seed, epoch)))
        N, first = self._config["batch_size"], self.training.position
        return tuple(None if rows is None else rows[first * N : (first + n) * N]
                     for rows in self._order[1])

    def run(self, rates: NDArray[np.float64]) -> bool:
        """Make an update with each of the learning rates (n,), after a look at the state from time
        to time. Returns False, before the update in question, where the run diverges; warns of a
        sudden rise of the loss."""
        if self.good.is_due():
            self.look()
        with no_fork, self._model.lock:
            loss = np.empty(0)
            for training, n, rows in self._parts(len(rates)):
                part, leader = rates[len(loss) : len(loss) + n], leading.get()
                made, smooth = (leader.run(self, training, part, rows) if leader else
                                training.run(part, *rows))
                self._last, self._rate = training, float(part[0])
                if training is self._long:
                    self.training.counters = training.counters
                self.history.extend(made, smooth, part[: len(made)])
                loss = np.concatenate([loss, made])
                if len(made) < n:
                    break
        risen = spike(self.history, loss, self.guess)
        if risen and risen[0] > 2 * self._risen:
            self._risen, high, usual = risen
            warnings.warn(f"the training loss rose at update {self._risen:,} from {usual:.3g} to "
                          f"{high:.3g} {' per '.join(self.history.measure)}", stacklevel=6)
        return len(loss) == len(rates)

    def _parts(self, n: int) -> Iterator[tuple[kernels.Training, int, tuple[Any, ...]]]:
        """What makes the next n updates: a loop, the number of its updates, and their rows."""
        rows, N, alone = self.rows(n), self._config["batch_size"], np.zeros(n, bool)
        if self._long:
            alone = rows[1].reshape(n, N).max(axis=1) > self._steps
        cuts = np.flatnonzero(np.diff(alone)) + 1
        for start, end in pairwise([0, *cuts.tolist(), n]):
            training, steps, every = self.training, self._steps, 1
            if self._long and alone[start]:  # the first row of each batch
                training, steps, every = self._long, self._reading.alone, N
                training.counters = self.training.counters
            training.most_loss = DIVERGED * self.guess * steps
            yield training, end - start, tuple(
                None if row is None else np.ascontiguousarray(row[start * N : end * N : every])
                for row in rows)

    def tried(self) -> tuple[NDArray[Any], NDArray[np.float64]]:
        """The gradient, a block, and the losses (T, N) of the last update that was tried."""
        N = self._config["batch_size"] if self._last is self._long else 1
        self._last.gradient_norm()  # makes `grads` whole
        return self._last.grads, self._last.losses * N

    @property
    def predictions(self) -> float:
        """How many there are in an update, as a mean."""
        return self._reading.predictions * float(self._config["batch_size"])

    def measured(self, n: int) -> dict[str, float]:
        """What is told of the last n updates: their mean loss of one prediction; of the last one
        the learning rate, and the norm of the gradient before clipping; epochs so far."""
        history, update = self.history, self.training.update
        found = {"epoch": update / self._reading.updates_per_epoch,
                 "loss": float(history.last(n).mean() / (history.seq_length or 1))}
        if history.one_stream:
            found["smoothed_loss"] = self.training.counters["smooth_loss"]
        return found | {"learning_rate": self._rate, "gradient_norm": self._last.gradient_norm()}

    def look(self) -> float:
        """The loss of the present state as a multiple of that of guessing; infinity if a parameter
        is not finite. A good state is copied."""
        began, loss = time.perf_counter(), math.nan
        with no_fork, self._model.lock:
            if all(np.isfinite(block).all() for block in (self._model.block, *self.memories)):
                training, _, rows = next(self._parts(1))
                loss = training.next_loss(*rows)
                if training is self._long:
                    loss *= self._config["batch_size"]
            if not self.good.arrays and math.isfinite(loss):
                self.guess = max(self.guess, loss) or 1.0
            if loss <= GOOD * self.guess:
                arrays, run = self.stored()
                self.good.keep(arrays | {"block": self._model.block}, run)
        self.good.looked(began)
        return loss / self.guess if math.isfinite(loss) else math.inf

    def go_back(self) -> None:
        """Back to the last good state."""
        with no_fork, self._model.lock:
            self._model.block[:] = self.good.arrays["block"]
            self.restore(self.good.arrays, self.good.run)
            self.history.cut(self.training.update, self.training.epoch)

    def note_validation(self, loss: float) -> None:
        """Note a validation loss, and the parameters where it is the lowest."""
        with no_fork, self._model.lock:
            self.history.add_validation(loss, self.training.update)
            if loss < self.training.counters["best_loss"]:
                self.best[:], self.best_state[:] = self.averaged.block, self.state[:1]
                self.training.counters |= {"best_loss": loss, "best_update": self.training.update}

    def averaged_model(self) -> Model:
        """A copy of the model with the averaged parameters; the model where there is no average."""
        if self.averaged is self._model or not self.training.update:
            return self._model
        return self._copy(self.averaged.block)

    def best_model(self) -> Model:
        """A copy of the model with the best parameters, before the first ones with the present."""
        if not self.training.counters["best_update"]:
            return self._copy(self.averaged_model().block)
        best = self._copy(self.best)
        if self._validated:
            best.state[:] = self.best_state
        return best

    def _copy(self, block: NDArray[Any]) -> Model:
        """A copy of the model with other parameters."""
        with no_fork, self._model.lock:
            copy = self._model.copy()
            copy.block[:], copy.history = block, self.history.copy()
        return copy

    def stored(self) -> tuple[Tensors, dict[str, Any]]:
        """What a checkpoint stores of this besides the model: tensors, and a dict for JSON."""
        tensors = {f"optimizer.{i}": memory for i, memory in enumerate(self.memories)}
        tensors |= {"state": self.state, "best": self.best}
        if self.averaged is not self._model:
            tensors["average"] = self.averaged.block
        tensors["best_state"] = self.best_state if self._validated else self.state[:1]
        counters = self.training.counters
        if not counters["best_update"]:
            counters["best_loss"] = None  # JSON has no infinity
        return tensors, {
            "counters": counters, "generator": self.rng.bit_generator.state,
            "generators": [rng.bit_generator.state for rng in self.generators],
            "order_seed": self.order_seed}

    def restore(self, tensors: Tensors, run: dict[str, Any]) -> None:
        """Continue from what `stored` returned; ValueError if it belongs to another run."""
        for name, array in self.stored()[0].items():
            expect(tensors, name, array.shape, array.dtype)
            array[:] = tensors[name]
        counters = run["counters"]
        epoch, windows = divmod(counters["update"], self._reading.updates_per_epoch)
        position = windows if self._reading.order else windows * self._config["seq_length"]
        if (counters["epoch"], counters["position"]) != (epoch, position):
            raise ValueError(f"epoch {counters['epoch']} and position {counters['position']} after "
                             f"{counters['update']} updates, and not {epoch} and {position}")
        self.training.counters = counters | {
            "best_loss": math.inf if counters["best_loss"] is None else counters["best_loss"]}
        self.rng.bit_generator.state = run["generator"]
        for rng, state in zip(self.generators, run["generators"], strict=True):
            rng.bit_generator.state = state
        self.order_seed, self.changed = run["order_seed"], True

    # ---- several ranks ----

    @property
    def block(self) -> NDArray[Any]:
        """The parameters."""
        return self._model.block

    @property
    def batch_size(self) -> int:
        return int(self._config["batch_size"])

    def described(self) -> tuple[dict[str, Any], Tensors]:
        """What another process needs to make the same updates: a dict for JSON, and arrays.
        ValueError for weight_drop."""
        if self._model.config["weight_drop"]:  # a rank draws masks of some rows of Wh alone
            raise ValueError("weight_drop is for one process: leave it out, or train without MPI")
        reading, model = self._reading, packed(*self._model.stored(History()))
        return {
            "config": self._config, "isa": self.isa, "order": reading.order is not None,
            "threads": None if self._threads == cores() else self._threads,
            "updates_per_epoch": reading.updates_per_epoch, "predictions": reading.predictions,
            "steps": reading.steps, "alone": reading.alone,
            }, reading.arrays | {"model": np.frombuffer(model, np.uint8)}

    @classmethod
    def from_described(cls, about: dict[str, Any], arrays: Tensors, threads: int) -> "Updates":
        """The updates that another process has `described`, which draws the orders."""
        model = Model.from_stored(*unpacked(arrays["model"].tobytes(), "the model of rank 0"))
        model.isa = about["isa"]
        reading = Reading(
            {name: array for name, array in arrays.items() if name != "model"},
            about["updates_per_epoch"], about["predictions"],
            (lambda _: ()) if about["order"] else None, about["steps"], about["alone"])
        return cls(model, reading, about["config"], History(), threads, validated=True)

    def share(self, ranks: Any) -> None:
        """Share the slices of each batch with other ranks from now on."""
        for training in (self.training, self._long):
            if training:
                training.share(ranks)
        self.shared = True

    def part(self, alone: bool) -> kernels.Training:
        """The loop of batches, or that of rows that are read alone."""
        return self._long if alone and self._long else self.training

    def streams(self, slices: range) -> tuple[int, int]:
        """The first row of some slices, and the end of them."""
        return self._rows[slices[0]][0], sum(self._rows[slices[-1]])

    def unroll(self, about: dict[str, Any], arrays: dict[str, Any], state: NDArray[Any],
               ranks: Any) -> tuple[int, NDArray[np.float64]]:
        """The losses of this rank's rows in a batch that all ranks read together, from `state`
        on, and which row is the first."""
        network = self.averaged.network(about["steps"], about["N"], self._model.sizes.loss)
        losses = network.unroll(self.averaged.block, state=state, threads=self._threads,
                                ranks=ranks, **arrays)
        own = [network.slices[s] for s in ranks.own(len(network.slices))]
        first, end = (own[0][0], sum(own[-1])) if own else (0, 0)
        return first, losses[:, first:end]

    def get_generators(self, slices: range) -> dict[str, Any]:
        """The states of the generators of some slices, for JSON."""
        return {str(s): self.generators[s].bit_generator.state for s in slices if self.generators}

    def set_generators(self, states: dict[str, Any]) -> None:
        for s, state in states.items():
            self.generators[int(s)].bit_generator.state = state

    def ask(self, callback: Callable[[Any], Any], trainer: Any) -> bool:
        """Whether a callback of the trainer ends the run. It may change the parameters."""
        before = zlib.crc32(self.block.tobytes()) if self.shared else None
        stop = callback(trainer)
        self.changed |= self.shared and zlib.crc32(self.block.tobytes()) != before
        return bool(stop)
