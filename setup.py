"""Build the optional C extension and place the kernels; everything else is in pyproject.toml.

A machine without a C compiler, or not POSIX, still gets a working package: the extension is
optional and `cuzarr.native.twin` does the same in Python. `kernels/` is installed as
`cuzarr/_kernels/`; an editable install finds the folder where it is.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from setuptools import Extension, setup
from setuptools.command.build_py import build_py

SOURCES = sorted(str(path) for path in Path("src/cuzarr/native/src").glob("*.c"))
FLAGS = ["-std=c11", "-O3", "-fno-math-errno", "-fvisibility=hidden", "-Wall", "-Wextra"]

EXTENSION = Extension(
    "cuzarr.native._native",
    SOURCES,
    depends=sorted(str(path) for path in Path("src/cuzarr/native/src").glob("*.h")),
    define_macros=[("Py_LIMITED_API", "0x030B0000")],
    extra_compile_args=[*FLAGS, "-pthread", *os.environ.get("CUZARR_CFLAGS", "").split()],
    extra_link_args=["-pthread", *os.environ.get("CUZARR_LDFLAGS", "").split()],
    py_limited_api=True,
    optional=not os.environ.get("CUZARR_REQUIRE_NATIVE"),
)


class BuildPy(build_py):
    """Build the Python part, kernel sources included."""

    def run(self) -> None:
        super().run()
        if not self.editable_mode:
            for source, target in self._kernels():
                self.mkpath(str(Path(target).parent))
                self.copy_file(source, target)

    def get_outputs(self, include_bytecode: bool = True) -> list[str]:
        return super().get_outputs(include_bytecode) + [target for _, target in self._kernels()]

    def _kernels(self) -> list[tuple[str, str]]:
        folder = Path(self.build_lib, "cuzarr", "_kernels")
        sources = sorted(
            path for path in Path("kernels").iterdir() if path.suffix in (".cu", ".cuh")
        )
        return [(str(path), str(folder / path.name)) for path in sources]


setup(
    cmdclass={"build_py": BuildPy},
    ext_modules=[] if sys.platform == "win32" else [EXTENSION],
    options={"bdist_wheel": {"py_limited_api": "cp311"}},
)
