"""Build: the Cython modules of src/fastrnn/kernels, and the C bodies once for each precision and
instruction set.

The environment variable FASTRNN_SANITIZE (say `address,undefined`, or `thread`) builds with these
sanitizers of gcc or clang; see CONTRIBUTING.md."""
import os
import platform
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy
from Cython.Build import cythonize
from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext

X86 = platform.machine().lower() in ("x86_64", "amd64") and sys.platform != "win32"
FLAGS = [] if sys.platform == "win32" else [
    "-std=c99", "-O3", "-fno-math-errno", "-fno-trapping-math", "-ffp-contract=fast",
    "-Wall", "-Wextra",
]
SANITIZE = os.environ.get("FASTRNN_SANITIZE")
LINK_FLAGS = []
MACROS = []
if SANITIZE:
    LINK_FLAGS = [f"-fsanitize={SANITIZE}"]
    instead = f"-O1 -g1 -fno-omit-frame-pointer -fsanitize={SANITIZE}"
    if "undefined" in SANITIZE.split(","):
        instead += " -fno-sanitize-recover=undefined"
    MACROS = [("FASTRNN_FLAGS", f'" {instead}"')]  # they round otherwise: `compiler` names them
    FLAGS = [flag for flag in FLAGS if flag != "-O3"] + instead.split()
VARIANTS = {"baseline": []}
if X86:
    VARIANTS["avx2"] = ["-mavx2", "-mfma"]
    VARIANTS["avx512"] = ["-mavx512f", "-mavx512dq", "-mavx512vl", "-mavx2", "-mfma",
                          "-mprefer-vector-width=512"]
LINKED = "fastrnn.kernels.border"  # the one module that the C bodies are linked into
MODULES = ["border", "measure", "network", "optimizer", "reservoir", "team", "training"]


class BuildVariants(build_ext):
    """Compiles csrc/kernels.c for each variant and links them all into one extension."""

    def build_extension(self, ext):
        if ext.name == LINKED:
            bodies = [(isa, bits) for isa in VARIANTS for bits in (32, 64)]
            with ThreadPoolExecutor(self.parallel) as pool:
                for objects in pool.map(lambda body: self.compile_body(*body), bodies):
                    ext.extra_objects += objects
        super().build_extension(ext)

    def compile_body(self, isa, bits):
        """The object files of csrc/kernels.c for one instruction set and precision."""
        table = f"fastrnn_{isa}_f{bits}"
        macros = [("FASTRNN_DOUBLE", None)] if bits == 64 else []
        return self.compiler.compile(
            ["csrc/kernels.c"],
            output_dir=str(Path(self.build_temp) / table),
            macros=[*macros, ("FASTRNN_ISA", f'"{isa}"'), ("FASTRNN_TABLE", table)],
            extra_postargs=FLAGS + VARIANTS[isa],
        )


def extension(module):
    name = f"fastrnn.kernels.{module}"
    return Extension(
        name,
        [f"src/fastrnn/kernels/{module}.pyx"] + ["csrc/dispatch.c"] * (name == LINKED),
        include_dirs=["csrc", numpy.get_include()],
        depends=[str(path) for path in sorted(Path("csrc").rglob("*.[ch]"))],
        define_macros=MACROS + ([("FASTRNN_X86_VARIANTS", None)] if X86 else []),
        extra_compile_args=[flag.replace("-O3", "-O2") for flag in FLAGS if flag != "-std=c99"],
        extra_link_args=LINK_FLAGS,
    )


setup(
    ext_modules=cythonize([extension(module) for module in MODULES], language_level=3,
                          compiler_directives={"boundscheck": False, "embedsignature": True}),
    cmdclass={"build_ext": BuildVariants},
    options={"build_ext": {"parallel": os.cpu_count()}},
)
