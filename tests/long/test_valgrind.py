"""valgrind sees no wrong access, and no number that nobody wrote, in fastrnn's own machine code."""
import os
import shutil
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest

import fastrnn

SCRIPT = """
import os
import numpy as np
import fastrnn
from fastrnn import kernels, nn
from fastrnn.kernels import border
from networks import EVERY_KIND, cell_of

rng = np.random.default_rng(0)
text = fastrnn.Corpus.from_text("the cat sat on the mat, the dog on the log. " * 3)
x, y = rng.normal(size=(5, 3, 2)), rng.normal(size=(5, 3, 1))
series, goal = rng.normal(size=(40, 2)), rng.normal(size=(40, 3))
for dtype in kernels.PRECISIONS:
    for isa in kernels.available_isas(dtype):
        os.environ["FASTRNN_ISA"] = isa
        trained = dtype == "mixed_bfloat16"
        for kind in EVERY_KIND[: -1 if trained else None]:  # the last is the esn
            shape = cell_of(kind) if kind != "esn" else {"cell": kind, "density": 0.5}
            model = fastrnn.train(text, preset="classic", **shape, hidden_size=5, seq_length=3,
                                  batch_size=3, updates=3, dropout=0.2, dtype=dtype,
                                  optimizer="adam", progress=False)
            model.sample(4, n=3, temperature=0.8, top_k=4, top_p=0.9, seed=1)
            model.score(text)
            numbers = fastrnn.train(fastrnn.Sequences(x, y), preset="classic", **shape,
                                    hidden_size=5, batch_size=3, updates=3, dtype=dtype,
                                    progress=False)
            numbers.predict(x)
        for layer in (nn.RNN(2, 5, dtype=dtype), nn.LSTM(2, 5, dtype=dtype)):
            layer.backward(layer.forward(x))
        for feedback in () if trained else (False, True):
            network = fastrnn.EchoStateNetwork(37, density=0.3, feedback=feedback, dtype=dtype,
                                               warmup=5)
            network.fit(series, goal).predict(series)
        print(isa, dtype, flush=True)
print("compiler:", kernels.compiler())
"""


def errors(report):
    """Where fastrnn's own machine code, or the C library called from there, did what is wrong."""
    for error in ElementTree.parse(report).iter("error"):
        frames = [(frame.findtext("obj", ""), frame.findtext("fn", "?"))
                  for frame in error.find("stack")]
        called = [obj for obj, _ in frames if "libc.so" not in obj and "vgpreload" not in obj]
        if called and "/fastrnn/kernels/" in called[0]:
            yield f"{error.findtext('kind')} in " + " < ".join(name for _, name in frames[:5])


def test_no_wrong_access(long, tmp_path):
    if shutil.which("valgrind") is None:
        pytest.skip("needs valgrind")
    if "-fsanitize=" in fastrnn.build_info()["compiler"]:
        pytest.skip("valgrind cannot run a build with sanitizers")
    report = tmp_path / "report.xml"
    places = [str(Path(__file__).parents[1]), str(Path(fastrnn.__file__).parents[1])]
    done = subprocess.run(
        ["valgrind", "--xml=yes", f"--xml-file={report}", "--leak-check=no",
         "--error-limit=no", sys.executable, "-c", SCRIPT],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(places), "PYTHONMALLOC": "malloc",
                          "OMP_NUM_THREADS": "1"},
        capture_output=True, text=True, timeout=3000)
    assert done.returncode == 0, done.stderr
    # the processor that valgrind plays has no AVX-512
    assert {line.split()[0] for line in done.stdout.splitlines()} >= {"baseline", "compiler:"}
    assert [*errors(report)] == []
