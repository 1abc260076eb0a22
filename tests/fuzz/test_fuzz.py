"""Changed files, by the thousand: whatever they hold, they are refused or harmless."""
import json
import random

import pytest
from campaign import campaign
from mutations import CHOICES, about_of, mutated, packed_tensors, tensors, unpacked
from seeds import seeds


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    return seeds(tmp_path_factory.mktemp("seeds"))


def test_changed_files_are_refused_or_harmless(request, capsys):
    """`pytest tests/fuzz --fuzz 1000000` for more of them."""
    faults, summary = campaign(request.config.getoption("--fuzz"), seed=1)
    with capsys.disabled():
        print(f"\n{summary}")
    assert not faults, summary


def test_the_seeds_are_of_all_kinds(good):
    """Else the fuzzing would leave out a part of the loader without a word."""
    about = {seed.name: about_of(seed.data) for seed in good}
    models = [a["model"] for a in about.values() if "model" in a]
    runs = [a["trainer"] for a in about.values() if "trainer" in a]
    assert {m["cell"] for m in models} == {"rnn", "relu", "lstm", "gru", "mgu", "memory", "esn"}
    assert {m["dtype"] for m in models} == {"float32", "float64", "mixed_bfloat16"}
    assert {r["config"]["optimizer"] for r in runs} == {"adagrad", "adam", "rmsprop", "sgd"}
    assert {r["config"]["order"] for r in runs} == {"stream", "shuffled"}
    assert sorted({len(r["generators"]) for r in runs}) == [0, 1, 2]
    assert {bool(r["counters"]["best_update"]) for r in runs} == {False, True}
    assert {a["vocabulary"]["unit"] for a in about.values() if a.get("vocabulary")} == {
        "char", "word", "byte", "bpe"}
    assert any(m["labels"] for m in models) and any(a.get("sizes") for a in about.values())
    assert any("echo_state_network" in a for a in about.values())


def test_each_change_is_made_and_can_be_made_again(good):
    files = [seed.data for seed in good]
    made = set()
    for number in range(600):
        which, change, data = mutated(random.Random(f"1 {number}"), files)
        made.add(change)
        assert (which, change, data) == mutated(random.Random(f"1 {number}"), files)
    assert made == {change.__name__ for change in CHOICES[0]}


def test_a_file_put_together_again_is_the_same(good):
    for seed in good:
        header, arrays = tensors(*unpacked(seed.data))
        again, same = tensors(*unpacked(packed_tensors(header, arrays)))
        assert again["__metadata__"] == header["__metadata__"]
        assert {n: (a.dtype, a.tobytes()) for n, a in arrays.items()} == {
            n: (a.dtype, a.tobytes()) for n, a in same.items()}
        assert json.loads(header["__metadata__"]["fastrnn"]) == about_of(seed.data)
