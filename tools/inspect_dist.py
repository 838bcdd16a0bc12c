"""Check what the sdist and the wheel hold: ``inspect_dist.py DIST_FOLDER``.

1. Every kernel source is in both, in the wheel under ``cuzarr/_kernels/``.
2. Every Python module of ``src/`` is in the wheel, with ``py.typed`` and the license.
3. Nothing of tests, benchmarks or tools is installed.
"""

from __future__ import annotations

import sys
import tarfile
import zipfile
from pathlib import Path

TOP = Path(__file__).resolve().parent.parent


def main(dist: Path) -> None:
    sdist, wheel = next(dist.glob("*.tar.gz")), next(dist.glob("*.whl"))
    with tarfile.open(sdist) as archive:
        in_sdist = {name.partition("/")[2] for name in archive.getnames()}
    with zipfile.ZipFile(wheel) as archive:
        in_wheel = set(archive.namelist())

    kernels = [path.name for path in (TOP / "kernels").iterdir() if path.suffix in {".cu", ".cuh"}]
    modules = [str(path.relative_to(TOP / "src")) for path in (TOP / "src").rglob("*.py")]
    wanted = {"cuzarr/py.typed", *modules, *(f"cuzarr/_kernels/{name}" for name in kernels)}
    problems = [f"the wheel lacks {name}" for name in sorted(wanted - in_wheel)]
    wanted = {"README.md", "LICENSE", "pyproject.toml", *(f"kernels/{name}" for name in kernels)}
    problems += [f"the sdist lacks {name}" for name in sorted(wanted - in_sdist)]
    if not kernels:
        problems.append("kernels/ is empty")
    if not any(name.endswith("licenses/LICENSE") for name in in_wheel):
        problems.append("the wheel lacks its LICENSE")
    strays = {name.partition("/")[0] for name in in_wheel} - {"cuzarr"}
    problems += [f"the wheel installs {s}" for s in sorted(strays) if not s.endswith(".dist-info")]
    if problems:
        sys.exit("\n".join(problems))
    print(f"{len(in_wheel)} files in the wheel, {len(kernels)} kernel sources among them")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
