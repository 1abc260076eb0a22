"""Build: the Cython modules of src/fastrnn/kernels, and the C bodies once for each precision and
instruction set.

The environment variable FASTRNN_SANITIZE (say `address,undefined`, or `thread`) builds with these
sanitizers of gcc or clang, and FASTRNN_SANITIZED (say `avx512 amx`) the bodies of these instruction
sets alone, the others as fast as they compile; see CONTRIBUTING.md."""
import os
import platform
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy
from Cython.Build import cythonize
from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext
from setuptools.errors import CompileError
from setuptools.modified import newer_group

X86 = platform.machine().lower() in ("x86_64", "amd64") and sys.platform != "win32"
FLAGS = [] if sys.platform == "win32" else [
    "-std=c99", "-O3", "-fno-math-errno", "-fno-trapping-math", "-ffp-contract=fast",
    "-Wall", "-Wextra",
]
SANITIZE = os.environ.get("FASTRNN_SANITIZE")
SANITIZED = os.environ.get("FASTRNN_SANITIZED", "").split()
LINK_FLAGS = [] if sys.platform == "win32" else ["-pthread"]
MACROS = []
if SANITIZE:
    LINK_FLAGS += [f"-fsanitize={SANITIZE}"]
    instead = f"-O1 -g1 -fno-omit-frame-pointer -fsanitize={SANITIZE}"
    if "undefined" in SANITIZE.split(","):
        instead += " -fno-sanitize-recover=undefined"
    MACROS = [("FASTRNN_FLAGS", f'" {instead}"')]  # they round otherwise: `compiler` names them
    FLAGS = [flag for flag in FLAGS if flag != "-O3"] + instead.split()
PRECISIONS = {"float32": [], "float64": [("FASTRNN_DOUBLE", None)],
              "mixed_bfloat16": [("FASTRNN_BFLOAT16", None)]}
VARIANTS = {"baseline": []}
if X86:
    VARIANTS["avx2"] = ["-mavx2", "-mfma"]
    VARIANTS["avx512"] = ["-mavx512f", "-mavx512dq", "-mavx512vl", "-mavx2", "-mfma",
                          "-mprefer-vector-width=512"]
# instructions for products of bfloat16, where the compiler has them; AMX needs Linux to grant it
BFLOAT16_VARIANTS = {}
if X86:
    BFLOAT16_VARIANTS["avx512_bf16"] = [*VARIANTS["avx512"], "-mavx512bw", "-mavx512bf16"]
    BFLOAT16_VARIANTS["amx"] = [*BFLOAT16_VARIANTS["avx512_bf16"], "-mamx-tile", "-mamx-bf16"]
SOURCES = [str(path) for path in sorted(Path("csrc").rglob("*.[ch]"))]
LINKED = "fastrnn.kernels.border"  # the one module that the C bodies are linked into
BESIDE = ["csrc/dispatch.c", "csrc/team.c"]  # compiled once, not for each variant
MODULES = ["border", "measure", "network", "optimizer", "reservoir", "stepping", "team",
           "training"]


class BuildVariants(build_ext):
    """Compiles csrc/kernels.c for each variant and links them all into one extension."""

    def build_extension(self, ext):
        if ext.name == LINKED:
            bodies = [(isa, precision) for isa in VARIANTS for precision in PRECISIONS]
            if self.knows_bfloat16():
                bodies += [(isa, "mixed_bfloat16") for isa in BFLOAT16_VARIANTS]
                ext.define_macros += [("FASTRNN_BFLOAT16_VARIANTS", None)]
                if sys.platform == "linux":
                    ext.define_macros += [("FASTRNN_AMX", None)]
            with ThreadPoolExecutor(self.parallel) as pool:
                for objects in pool.map(lambda body: self.compile_body(*body), bodies):
                    ext.extra_objects += objects
        super().build_extension(ext)

    def compile_body(self, isa, precision):
        """The object files of csrc/kernels.c for one instruction set and precision, those of the
        last build where no source has changed since."""
        table = f"fastrnn_{isa}_{precision}"
        place = str(Path(self.build_temp) / table)
        objects = self.compiler.object_filenames(["csrc/kernels.c"], output_dir=place)
        if not self.force and not newer_group(["setup.py", *SOURCES], objects[0]):
            return objects
        flags = FLAGS
        if SANITIZED and isa not in SANITIZED:
            flags = [flag for flag in FLAGS if "sanitize" not in flag] + ["-O0"]
        return self.compiler.compile(
            ["csrc/kernels.c"],
            output_dir=place,
            macros=[*PRECISIONS[precision], ("FASTRNN_ISA", f'"{isa}"'), ("FASTRNN_TABLE", table)],
            extra_postargs=flags + (VARIANTS | BFLOAT16_VARIANTS)[isa],
        )

    def knows_bfloat16(self):
        """Whether the compiler has the instructions for bfloat16: gcc from 11 on, clang from 12."""
        if not BFLOAT16_VARIANTS:
            return False
        source = Path(self.build_temp) / "bfloat16.c"
        source.parent.mkdir(parents=True, exist_ok=True)
        source.write_text("#include <immintrin.h>\n"
                          "void f(void) { _tile_zero(0); _tile_dpbf16ps(0, 1, 2); }\n"
                          "__m512bh g(__m512 x) { return _mm512_cvtne2ps_pbh(x, x); }\n")
        try:
            self.compiler.compile([str(source)], output_dir=str(source.parent),
                                  extra_postargs=BFLOAT16_VARIANTS["amx"])
        except CompileError:
            return False
        return True


def extension(module):
    name = f"fastrnn.kernels.{module}"
    return Extension(
        name,
        [f"src/fastrnn/kernels/{module}.pyx"] + BESIDE * (name == LINKED),
        include_dirs=["csrc", numpy.get_include()],
        depends=SOURCES,
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
