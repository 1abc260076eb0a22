"""Build: the Cython modules of src/fastrnn/kernels, and the C bodies once for each precision and
instruction set.

The environment variable FASTRNN_SCALAR=1 builds without vector types, as for a compiler that has
none. FASTRNN_SANITIZE (say `address,undefined`, or `thread`) builds with these sanitizers of gcc or
clang, and FASTRNN_SANITIZED (say `avx512 amx`) the bodies of these instruction sets alone, the
others as fast as they compile; see CONTRIBUTING.md. FASTRNN_COVERAGE=1 counts for gcov which lines
of C run (.ci/coverage)."""
import os
import platform
import shutil
import subprocess
import sys
import sysconfig
from concurrent.futures import ThreadPoolExecutor
from distutils.ccompiler import new_compiler
from distutils.sysconfig import customize_compiler
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy
from Cython.Build import cythonize
from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext
from setuptools.errors import CompileError
from setuptools.modified import newer_group

WINDOWS = sys.platform == "win32"
SCALAR = os.environ.get("FASTRNN_SCALAR", "") not in ("", "0")
X86 = platform.machine().lower() in ("x86_64", "amd64") and not SCALAR
FLAGS = ["-std=c99", "-O3", "-fno-math-errno", "-fno-trapping-math", "-ffp-contract=fast",
         "-Wall", "-Wextra"]
SANITIZE = os.environ.get("FASTRNN_SANITIZE")
SANITIZED = os.environ.get("FASTRNN_SANITIZED", "").split()
LINK_FLAGS = [] if WINDOWS else ["-pthread"]
MACROS = [("FASTRNN_SCALAR", None)] if SCALAR else []
instead = ""  # of -O3
if os.environ.get("FASTRNN_COVERAGE", "") not in ("", "0"):
    LINK_FLAGS += ["--coverage"]
    instead = "-O1 --coverage"
if SANITIZE:
    LINK_FLAGS += [f"-fsanitize={SANITIZE}"]
    instead = f"-O1 -g1 -fno-omit-frame-pointer -fsanitize={SANITIZE}"
    if "undefined" in SANITIZE.split(","):
        instead += " -fno-sanitize-recover=undefined"
if instead:
    MACROS += [("FASTRNN_FLAGS", f'" {instead}"')]  # they round otherwise: `compiler` names them
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
BUILDING = {"build", "build_ext", "bdist_wheel", "editable_wheel", "install", "develop"}
TO_INSTALL = {
    "linux": "Debian, Ubuntu: sudo apt install build-essential python3-dev; "
             "Fedora: sudo dnf install gcc python3-devel",
    "darwin": "xcode-select --install",
    "win32": "Visual Studio's Build Tools with \"Desktop development with C++\", and LLVM, with "
             "clang-cl on PATH: winget install LLVM.LLVM",
}
if sys.platform == "darwin":  # one processor, where Python was compiled for two
    os.environ.setdefault("ARCHFLAGS", f"-arch {platform.machine()}")


def taken(flags):
    """Flags of gcc and clang as the compiler here takes them, on Windows clang-cl: MSVC's has no
    vector types."""
    return [f"/clang:{flag}" for flag in flags if flag != "-std=c99"] if WINDOWS else flags


def clang_cl():
    return shutil.which("clang-cl") or shutil.which("clang-cl", path=r"C:\Program Files\LLVM\bin")


def compiles(text):
    """Whether the C compiler works, for this text."""
    if WINDOWS:
        return clang_cl() is not None
    compiler = new_compiler()
    customize_compiler(compiler)
    headers = [f"-I{sysconfig.get_path(name)}" for name in ("include", "platinclude")]
    with TemporaryDirectory() as place:
        Path(place, "tried.c").write_text(text)
        try:
            done = subprocess.run([*compiler.compiler_so, *headers, "-c", "tried.c"], cwd=place,
                                  capture_output=True)
        except OSError:
            return False
    return done.returncode == 0


def check_compiler():
    """End with two lines where something is missing, before pip has pages to show."""
    for text, what in (("int x;\n", "a C compiler"),
                       ("#include <Python.h>\n", "the header files of C and Python (Python.h)")):
        if not compiles(text):
            sys.exit(f"fastrnn is compiled here, which needs {what}. Install what is missing, and "
                     f"repeat:\n{TO_INSTALL.get(sys.platform, what)}")


class BuildVariants(build_ext):
    """Compiles csrc/kernels.c for each variant and links them all into one extension."""

    def build_extensions(self):
        if self.compiler.compiler_type == "msvc":
            if not self.compiler.initialized:
                self.compiler.initialize()
            self.compiler.cc = clang_cl()
            self.compiler.compile_options.remove("/GL")  # MSVC's optimization at link time
        super().build_extensions()

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
            macros=[*MACROS, *PRECISIONS[precision], ("FASTRNN_ISA", f'"{isa}"'),
                    ("FASTRNN_TABLE", table)],
            extra_postargs=taken(flags + (VARIANTS | BFLOAT16_VARIANTS)[isa]),
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
                                  extra_postargs=taken(BFLOAT16_VARIANTS["amx"]))
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
        extra_compile_args=taken([flag.replace("-O3", "-O2") for flag in FLAGS
                                  if flag != "-std=c99"]),
        extra_link_args=LINK_FLAGS,
    )


if BUILDING & set(sys.argv):
    check_compiler()
setup(
    ext_modules=cythonize([extension(module) for module in MODULES], language_level=3,
                          compiler_directives={"boundscheck": False, "embedsignature": True,
                                               "freethreading_compatible": True}),
    cmdclass={"build_ext": BuildVariants},
    options={"build_ext": {"parallel": os.cpu_count()}},
)
