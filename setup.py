"""Build of the two extension modules; everything else stands in pyproject.toml.

Environment:
    FASTDL_NO_OPENMP=1       build without threads
    FASTDL_REQUIRE_OPENMP=1  fail rather than build without threads
    FASTDL_DEBUG=1           -O1 -g with AddressSanitizer and UndefinedBehaviorSanitizer
    FASTDL_TIERS=avx512      only the instruction sets named here, separated by commas; the
                             others are left out: a quicker build while working on a kernel
    CC, CFLAGS               as usual; gcc 12 and clang 14 are tested
"""

import os
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path

import numpy
from Cython.Build import cythonize
from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext
from setuptools.command.build_py import build_py

DEBUG = os.environ.get("FASTDL_DEBUG", "0") not in ("", "0")
NO_OPENMP = os.environ.get("FASTDL_NO_OPENMP", "0") not in ("", "0")
REQUIRE_OPENMP = os.environ.get("FASTDL_REQUIRE_OPENMP", "0") not in ("", "0")
ALL_TIERS = ("generic", "avx2", "avx512")
TIERS = tuple(filter(None, os.environ.get("FASTDL_TIERS", "").split(","))) or ALL_TIERS
if not set(TIERS) <= set(ALL_TIERS):
    raise SystemExit(f"FASTDL_TIERS: expected names among {', '.join(ALL_TIERS)}")

# -fno-math-errno and -fno-trapping-math let loops with sqrt and comparisons vectorise and change
# no result.
# Never -ffast-math: it would drop NaN and infinity and reorder sums.
KERNEL_FLAGS = [
    "-std=gnu11",
    "-ffp-contract=fast",
    "-fno-math-errno",
    "-fno-trapping-math",
    "-fno-lto",
]
# Without the table of local symbols, which nothing reads.
LINK = ["-fsanitize=address,undefined"] if DEBUG else ["-s"] if sys.platform == "linux" else []
WARNINGS = ["-Wall", "-Wextra", "-Wno-psabi"]
OPTIMISE = (
    ["-O1", "-g", "-fsanitize=address,undefined", "-fno-omit-frame-pointer"]
    if DEBUG
    else ["-O3", "-g0", "-fno-asynchronous-unwind-tables", "-fno-unwind-tables"]
)
# What of gcc's -O3 makes much code of loops that take little time: the kernels unroll their inner
# loops themselves. (10 % of the compiled kernels, which run as fast without.)
LEAN = [
    "-fno-ipa-cp-clone",
    "-fno-split-loops",
    "-fno-split-paths",
    "-fno-version-loops-for-strides",
    "-fno-align-functions",
    "-fno-align-jumps",
    "-fno-align-labels",
    "--param=max-completely-peeled-insns=100",
    "--param=max-inline-insns-auto=15",
    "--param=max-unswitch-insns=20",
    "--param=max-unswitch-level=1",
]
# Sources that are not compiled for speed above all: the doors between Python and C, and the
# kernels of processors without AVX.
OWN = {
    "_engine.c": ["-O2", "-fno-align-loops", *LEAN[4:7], "--param=inline-unit-growth=15"],
    "_kernels.c": ["-Os"],
    "tier_generic.c": ["-Os", "-fno-ivopts"],
}

OPENMP_TEST = """
#include <omp.h>
int main(void) {
    int n = 0;
    #pragma omp parallel num_threads(2) reduction(+:n)
    n += 1;
    return omp_get_max_threads() < 1 || n < 1;
}
"""


def openmp_flags(compiler):
    """OpenMP's compile and link flags, by compiling, linking and running a program; else None."""
    candidates = [(["-fopenmp"], ["-fopenmp"])]
    if sys.platform == "darwin":
        candidates.append((["-Xpreprocessor", "-fopenmp"], ["-lomp"]))
    for compile_flags, link_flags in candidates:
        with tempfile.TemporaryDirectory() as folder:
            source = Path(folder, "openmp_test.c")
            source.write_text(OPENMP_TEST)
            try:
                objects = compiler.compile(
                    [str(source)], output_dir=folder, extra_postargs=compile_flags
                )
                compiler.link_executable(objects, "openmp_test", folder, extra_postargs=link_flags)
                subprocess.run([str(Path(folder, "openmp_test"))], check=True, timeout=60)
            except Exception as error:
                print(f"OpenMP with {' '.join(compile_flags)}: no ({type(error).__name__})")
                continue
        return compile_flags, link_flags
    return None


@cache
def accepts(compile_one, flag):
    """Whether the compiler knows this flag, which says how to optimise, not what to compute."""
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder, "flag_test.c")
        source.write_text("int nothing;")
        try:
            compile_one([str(source)], output_dir=folder, extra_postargs=["-Werror", flag])
        except Exception:
            return False
    return True


class BuildExt(build_ext):
    """Probes OpenMP, and compiles the sources of an extension side by side."""

    def build_extensions(self):
        if not NO_OPENMP:
            flags = openmp_flags(self.compiler)
            if flags is None and REQUIRE_OPENMP:
                raise SystemExit(
                    "FASTDL_REQUIRE_OPENMP: no OpenMP program compiled, linked and ran"
                )
            if flags is None:
                print("building without OpenMP: fastdl will run on one thread")
            else:
                for extension in self.extensions:
                    if extension.name == "fastdl._kernels":
                        extension.extra_compile_args += flags[0]
                        extension.extra_link_args += flags[1]
        compile_one = self.compiler.compile

        def compile_all(sources, **kwargs):
            def options(source):
                wanted = [] if DEBUG else OWN.get(os.path.basename(source), LEAN)
                own = [flag for flag in wanted if accepts(compile_one, flag)]
                return {**kwargs, "extra_postargs": [*(kwargs["extra_postargs"] or []), *own]}

            told = {source: options(source) for source in sources}
            with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
                objects = pool.map(lambda source: compile_one([source], **told[source]), sources)
                return [name for names in objects for name in names]

        self.compiler.compile = compile_all
        super().build_extensions()


class BuildPy(build_py):
    """Puts csrc/ into the package: the kernels can be read where only a wheel is installed."""

    def run(self):
        super().run()
        if self.editable_mode:
            return
        root = Path(__file__).parent
        for path in sorted(root.joinpath("csrc").rglob("*")):
            if path.suffix in (".c", ".h", ".md"):
                target = Path(self.build_lib, "fastdl", path.relative_to(root))
                self.mkpath(str(target.parent))
                self.copy_file(str(path), str(target))


def extension(name, sources, flags):
    return Extension(
        name,
        sources,
        include_dirs=["csrc", numpy.get_include()],
        depends=[str(p) for p in Path("csrc").rglob("*.[ch]")]
        if name.endswith("_kernels")
        else ["fastdl/_engine.h"],
        define_macros=[
            ("NPY_NO_DEPRECATED_API", "NPY_2_0_API_VERSION"),
            *((f"FDL_WITHOUT_{tier.upper()}", "1") for tier in ALL_TIERS if tier not in TIERS),
        ],
        extra_compile_args=OPTIMISE + flags,
        extra_link_args=list(LINK),
        language="c",
    )


KERNEL_SOURCES = [
    "alloc.c",
    "conv/select.c",
    "dispatch.c",
    "divide.c",
    "gamma.c",
    "order.c",
    "runtime.c",
    *(f"tier_{tier}.c" for tier in TIERS),
]

setup(
    ext_modules=cythonize(
        [
            extension("fastdl._engine", ["fastdl/_engine.pyx"], ["-Wno-unused-function"]),
            extension(
                "fastdl._kernels",
                ["fastdl/_kernels.pyx", *(f"csrc/{name}" for name in KERNEL_SOURCES)],
                KERNEL_FLAGS + WARNINGS,
            ),
        ],
        language_level=3,
        compiler_directives={"autotestdict": False},
    ),
    cmdclass={"build_ext": BuildExt, "build_py": BuildPy},
)
