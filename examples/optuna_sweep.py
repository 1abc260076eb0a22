"""Choose settings with Optuna: it draws them by the runs before, and prunes runs that go badly.

pip install optuna; python examples/optuna_sweep.py [TEXT] [--trials 20]
"""

import argparse

import optuna

import fastrnn


def objective(trial: optuna.Trial, corpus: fastrnn.Corpus, updates: int) -> float:
    """The lowest validation loss, in nats per character, of a run with drawn settings."""

    def report(trainer: fastrnn.Trainer) -> bool:
        """Called after every tenth of the updates; True ends the run."""
        losses = trainer.history.valid_loss
        if losses.size:
            trial.report(float(losses[-1]), trainer.update)
        return trial.should_prune()

    model = fastrnn.train(
        corpus, cell=trial.suggest_categorical("cell", ["lstm", "gru"]),
        hidden_size=trial.suggest_int("hidden_size", 32, 128, log=True),
        learning_rate=trial.suggest_float("learning_rate", 1e-3, 3e-2, log=True),
        dropout=trial.suggest_float("dropout", 0, 0.5),
        updates=updates, valid_fraction=0.1, valid_every=max(1, updates // 10),
        callback=report, callback_every=max(1, updates // 10), progress=False)
    if model.history.stopped == "callback":
        raise optuna.TrialPruned
    return float(model.history.valid_loss.min())


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("text", nargs="?", help="a text; by default Python's documentation")
    parser.add_argument("--trials", type=int, default=20)
    parser.add_argument("--updates", type=int, default=500, help="of each run")
    given = parser.parse_args(arguments)
    corpus = (fastrnn.Corpus.from_file(given.text) if given.text
              else fastrnn.datasets.load("pydoc-topics"))
    study = optuna.create_study(direction="minimize", sampler=optuna.samplers.TPESampler(seed=0))
    study.optimize(lambda trial: objective(trial, corpus, given.updates), n_trials=given.trials)
    pruned = sum(trial.state.name == "PRUNED" for trial in study.trials)
    print(f"{study.best_value:.4f} nats per character with {study.best_params}; "
          f"{pruned} of {len(study.trials)} runs were pruned")


if __name__ == "__main__":
    main()
