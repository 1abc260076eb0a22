"""Models as folders: save_pretrained and from_pretrained."""
import json
import re
import sys
import types

import numpy as np
import pytest

import fastrnn

TEXT = "the quick brown fox jumps over the lazy dog. | `x` * " * 30


@pytest.fixture(scope="module")
def models():
    """A trained model of each kind of data."""
    how = {"hidden_size": 5, "updates": 6, "progress": False}
    names = fastrnn.Corpus.from_records(["ann", "bob", "eve"] * 20, labels=["a", "b", "c"] * 20)
    x = np.random.default_rng(0).normal(size=(12, 5, 2))
    return {"text": fastrnn.train(fastrnn.Corpus.from_text(TEXT, name="a|b`c"), valid_every=3,
                                  valid_fraction=0.2, cell="lstm", **how),
            "records": fastrnn.train(names, **how),
            "numbers": fastrnn.train(fastrnn.Sequences(x, x[:, :, :1]), scale=True, **how)}


@pytest.mark.parametrize("kind", ["text", "records", "numbers"])
def test_the_same_model_comes_back(models, kind, tmp_path):
    model, folder = models[kind], tmp_path / "deep" / "er"
    model.save_pretrained(folder)
    assert sorted(each.name for each in folder.iterdir()) == [
        "README.md", "config.json", "model.safetensors"]
    back = fastrnn.Model.from_pretrained(folder)
    assert np.array_equal(back.block, model.block) and back.config == model.config
    assert np.array_equal(back.state, model.state) and back.vocabulary == model.vocabulary
    assert np.array_equal(back.history.loss, model.history.loss)
    if kind == "numbers":
        x = np.ones((1, 4, 2))
        assert np.array_equal(back.predict(x), model.predict(x))
    model.save_pretrained(folder)  # over its own files
    again = fastrnn.Model.from_pretrained(str(folder))
    again.save_pretrained(tmp_path / "copy")  # a loaded model, whose run is not in the file
    assert json.loads((tmp_path / "copy/config.json").read_text())["training"] is None


def test_the_card_and_the_settings_say_what_was_measured(models, tmp_path):
    model = models["text"]
    model.save_pretrained(tmp_path / "my_net")
    card = (tmp_path / "my_net/README.md").read_text()
    assert card.startswith("---\nlibrary_name: fastrnn\n") and "\n# my_net\n" in card
    lowest, at = model.history.lowest_validation()
    assert re.search(rf"lowest validation loss \| {lowest:.3f} nats per character", card)
    assert f"after {at} updates" in card and r"a\|b\`c" in card
    assert "| hidden\\_size | 5 | given |" in card.replace("hidden_size", "hidden\\_size")
    assert 'from_pretrained("my_net")' in card and model.sample(1000, seed=0) in card
    config = json.loads((tmp_path / "my_net/config.json").read_text())
    assert config["model"]["hidden_size"] == 5 and config["training"]["updates"] == 6
    assert config["training"]["data"] == "a|b`c" and config["parameters"] == model.block.size


def damage(folder, case):
    weights, config = folder / "model.safetensors", folder / "config.json"
    if case == "contradiction":
        config.write_text(config.read_text().replace('"hidden_size": 5', '"hidden_size": 6'))
    elif case == "no JSON":
        config.write_text("{")
    elif case == "a list":
        config.write_text("[1]")
    elif case == "deep":
        config.write_text("[" * 100_000)
    elif case == "large":
        config.write_text(" " * 11_000_000)
    elif case == "cut":
        weights.write_bytes(weights.read_bytes()[:-9])
    elif case == "gone":
        weights.unlink()


@pytest.mark.parametrize(("case", "kind", "message"), [
    ("contradiction", ValueError, "says hidden_size=6, and the model in model.safetensors has 5"),
    ("no JSON", ValueError, "damaged, or not fastrnn's"),
    ("a list", ValueError, "damaged, or not fastrnn's"),
    ("deep", ValueError, "damaged, or not fastrnn's"),
    ("large", ValueError, "no config.json of fastrnn"),
    ("cut", ValueError, "cut short|damaged"), ("gone", FileNotFoundError, "model.safetensors")])
def test_damaged_folders(models, tmp_path, case, kind, message):
    models["text"].save_pretrained(tmp_path / "a")
    damage(tmp_path / "a", case)
    with pytest.raises(kind, match=message):
        fastrnn.Model.from_pretrained(tmp_path / "a")


def test_a_folder_without_settings_is_enough(models, tmp_path):
    models["text"].save(tmp_path / "model.safetensors")
    back = fastrnn.Model.from_pretrained(tmp_path)
    assert np.array_equal(back.block, models["text"].block)


@pytest.mark.parametrize("name", ["config.json", "README.md", "model.safetensors"])
def test_files_of_others_stay(models, tmp_path, name):
    (tmp_path / name).write_text("mine, and it is longer than a header")
    with pytest.raises(OSError, match="fastrnn did not write it"):
        models["text"].save_pretrained(tmp_path)
    assert [each.name for each in tmp_path.iterdir()] == [name]
    models["text"].save_pretrained(tmp_path, overwrite=True)
    assert fastrnn.Model.from_pretrained(tmp_path).config == models["text"].config


def test_what_is_no_folder(models, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(NotADirectoryError, match="name a directory"):
        models["text"].save_pretrained(tmp_path / "file")
    with pytest.raises(NotADirectoryError, match="load a file with fastrnn.load"):
        fastrnn.Model.from_pretrained(tmp_path / "file")
    with pytest.raises(FileNotFoundError, match="no directory '.*none'"):
        fastrnn.Model.from_pretrained(tmp_path / "none")
    models["text"].save_pretrained(tmp_path / "a")
    with pytest.raises(ValueError, match="leave revision out"):
        fastrnn.Model.from_pretrained(tmp_path / "a", revision="main")


def test_the_hub(models, tmp_path, monkeypatch):
    """What is asked of huggingface_hub, which stands in for the network."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(ImportError, match=r'pip install "fastrnn\[hub\]"'):
        fastrnn.Model.from_pretrained("ann/plays")
    models["text"].save_pretrained(tmp_path / "cache")
    asked = []

    def hf_hub_download(name, file, revision):
        asked.append((name, file, revision))
        return str(tmp_path / "cache" / file)

    module = types.SimpleNamespace(hf_hub_download=hf_hub_download)
    monkeypatch.setitem(sys.modules, "huggingface_hub", module)
    back = fastrnn.Model.from_pretrained("ann/plays", revision="v1")
    assert np.array_equal(back.block, models["text"].block)
    assert asked == [("ann/plays", "model.safetensors", "v1"), ("ann/plays", "config.json", "v1")]
