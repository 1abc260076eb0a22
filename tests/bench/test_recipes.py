"""bench/recipes.py: fixed numbers of updates, no run twice, and a page of what was found."""
import json
import sys

import pytest
import recipes
import recipes_report
import recipes_runs
from runs import WORDS

SETTINGS = {"hidden_size": 8, "batch_size": 4, "seq_length": 16, "dropout": 0.1, "num_layers": 1,
            "learning_rate": 0.01}
MACHINE = "a machine"


@pytest.fixture
def lines(tmp_path, monkeypatch):
    """A file with paces of any network, on a machine that makes ten updates a second in float32
    and twenty in mixed_bfloat16, and a text of 5,115 characters."""
    monkeypatch.setenv("FASTRNN_DATA", str(tmp_path))
    monkeypatch.setattr(recipes_runs, "machine", lambda: MACHINE)
    (tmp_path / "book.txt").write_text((WORDS + " ") * 3)
    recipes_runs.data_of.cache_clear()
    path = tmp_path / "recipes.jsonl"
    with open(path, "w") as file:
        for name, ms in (("float32", 100), ("mixed_bfloat16", 50)):
            for size in (8, 12):
                file.write(json.dumps({
                    "pace_of": "text", "dtype": name, "ms": ms * size / 8, "machine": MACHINE,
                    "settings": {k: SETTINGS[k] for k in ("batch_size", "seq_length", "num_layers")}
                    | {"hidden_size": size}}) + "\n")
    return recipes_runs.Lines(path)


def command(monkeypatch, lines, *arguments):
    monkeypatch.setattr(sys, "argv", ["recipes.py", "--file", str(lines.path), "--source", "book",
                                      *map(str, arguments)])
    recipes.main()
    return recipes_runs.Lines(lines.path)


def run(monkeypatch, lines, minutes, **settings):
    return command(monkeypatch, lines, "--minutes", minutes, "--settings",
                   json.dumps(SETTINGS | settings))


def test_a_run_makes_the_updates_of_its_minutes_and_only_once(monkeypatch, lines):
    lines = run(monkeypatch, lines, 0.05)
    assert [line["updates"] for line in lines.runs] == [30]  # 3 seconds
    before = lines.path.read_text()
    assert run(monkeypatch, lines, 0.05).path.read_text() == before
    lines = run(monkeypatch, lines, 0.5, passes=1)
    data = recipes_runs.data_of("book")
    epoch = recipes_runs.trainer_of(data, SETTINGS, 100, 0, 1).updates_per_epoch
    assert [line["updates"] for line in lines.runs] == [30, epoch] and 30 < epoch < 300


def test_the_half_that_chooses_is_not_the_one_that_is_told(monkeypatch, lines):
    """Both, and all, are the model's losses on them."""
    (line,) = run(monkeypatch, lines, 0.05).runs
    data = recipes_runs.data_of("book")
    trainer = recipes_runs.trainer_of(
        data, SETTINGS, 30, 0, 1, valid=data.choose, valid_every=2)
    trainer.run()
    model = trainer.best_model()
    losses = model.surprisal(data.tenth)
    n = len(data.choose) - 1
    assert n + len(data.report) == len(data.tenth) - 1
    assert data.tenth.ids.tolist() == [*data.choose.ids, *data.report.ids]
    assert line["choose"] == pytest.approx(losses[:n].mean(), abs=1e-4)
    assert line["report"] == pytest.approx(losses[n:].mean(), abs=1e-4)
    assert line["whole"] == pytest.approx(losses.mean(), abs=1e-4)
    assert line["best_at"] == trainer.best_update


def test_runs_count_in_the_cells_that_they_fit_into(monkeypatch, lines):
    lines = run(monkeypatch, lines, 0.05)
    lines = run(monkeypatch, lines, 0.05, hidden_size=12)  # 20 updates
    for minutes, dtype, count in ((0.05, "float32", 2), (0.03, "float32", 0),
                                  (0.03, "mixed_bfloat16", 2), (0.02, "mixed_bfloat16", 0)):
        found = recipes_runs.fitting(lines, "book", minutes, dtype)
        assert len(found) == count, (minutes, dtype)
        assert [line["choose"] for line in found] == sorted(line["choose"] for line in found)


def test_the_search_goes_on_where_it_ended(monkeypatch, lines):
    """It begins with what the recipe takes, then varies the best, and repeats nothing."""
    monkeypatch.setattr(recipes, "recipe_of", lambda *_: SETTINGS)
    monkeypatch.setattr(recipes_runs.Lines, "pace", lambda *_: 0.1)
    clock = iter(range(100))
    monkeypatch.setattr(recipes.time, "monotonic", lambda: next(clock))
    lines = command(monkeypatch, lines, "--minutes", 0.02, "--search", 8 / 3600)
    first = lines.path.read_text()
    assert len(lines.runs) > 2 and lines.runs[0]["settings"] == SETTINGS | {"dtype": "float32"}
    lines = command(monkeypatch, lines, "--minutes", 0.02, "--search", 8 / 3600)
    told = [json.dumps([line["settings"], line["updates"]]) for line in lines.runs]
    assert len(told) == len(set(told)) and lines.path.read_text().startswith(first)
    assert len(lines.path.read_text()) > len(first)


def test_a_proposal_is_a_step_or_two_from_the_best():
    best = {"settings": dict(recipes.START, dtype="float32"), "passes": 7.6}
    del best["settings"]["passes"]
    for seed in range(50):
        found = recipes.proposal(best, recipes.random.Random(seed))
        changed = {k for k in found if found[k] != (recipes.START | {"passes": 7.6})[k]}
        assert set(found) == set(recipes.GRID) and len(changed) <= 2
        assert all(found[k] in recipes.GRID[k] for k in changed)


def test_the_page(monkeypatch, lines):
    """Each cell has the best run that fits, and the recipe's loss divided by its."""
    monkeypatch.setattr(recipes_report, "MINUTES", (0.03, 0.05))
    lines = run(monkeypatch, lines, 0.05)
    lines = run(monkeypatch, lines, 0.05, hidden_size=12)
    monkeypatch.setattr(recipes, "recipe_of", lambda *_: SETTINGS | {"dropout": 0.3})
    lines = command(monkeypatch, lines, "--minutes", 0.05, "--recipe", "--report")
    page = lines.path.with_name("RECIPES.md").read_text()
    assert f"3 runs, the last on {lines.runs[0]['date']}" in page and MACHINE in page
    rows = [line for line in page.splitlines() if line.startswith("| 0.0")]
    best = min(lines.runs, key=lambda line: line["choose"])
    own = next(line for line in lines.runs if line["settings"]["dropout"] == 0.3)
    cells = [cell.strip() for cell in rows[0].split("|")[1:-1]]
    assert len(rows) == 1 and cells[:2] == ["0.05", "3"]
    assert cells[3:5] == [f"{best['report']:.4f}", f"{best['whole']:.4f}"]
    assert cells[6:9] == [f"{own['report']:.4f}", f"{own['whole']:.4f}",
                          f"{own['report'] / best['report']:.3f}"]


def test_a_preset_runs_with_its_own_settings(monkeypatch, lines):
    monkeypatch.setattr(recipes_runs.Lines, "pace", lambda *_: 0.1)
    monkeypatch.setattr(recipes, "presets_of", lambda _: ["torch-rnn"])
    (line,) = command(monkeypatch, lines, "--minutes", 0.02, "--presets").runs
    trainer = recipes_runs.trainer_of(recipes_runs.data_of("book"), line["settings"], 12, 0, 1)
    assert trainer.config == trainer.config | {"batch_size": 50, "seq_length": 50,
                                               "schedule": "constant", "learning_rate": 2e-3}
    assert line["updates"] == 12 and trainer.model.config["num_layers"] == 2


def test_an_average_has_a_constant_learning_rate(monkeypatch, lines):
    lines = run(monkeypatch, lines, 0.05, weight_average=0.15)
    lines = run(monkeypatch, lines, 0.05, weight_average=0.0)
    data = recipes_runs.data_of("book")
    schedules = [recipes_runs.trainer_of(data, line["settings"], 30, 0, 1).config["schedule"]
                 for line in lines.runs]
    assert schedules == ["constant", "cosine"]
    assert "weight_average" not in lines.runs[1]["settings"]


def test_a_text_that_is_too_short(lines):
    with pytest.raises(ValueError, match="book has 5,115 characters, fewer than 9000"):
        recipes_runs.data_of("book:9000")
    with pytest.raises(FileNotFoundError, match="FASTRNN_DATA"):
        recipes_runs.data_of("letter")
