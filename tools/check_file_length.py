"""Fail when a source file has more than 500 lines: it holds more than one concept."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

LIMIT = 500
SUFFIXES = {".py", ".cu", ".cuh", ".c", ".cpp", ".h", ".hpp", ".sh"}


def main() -> int:
    listed = subprocess.run(["git", "ls-files", "-z"], capture_output=True, check=False)
    if listed.returncode == 0:
        paths = [Path(name) for name in listed.stdout.decode().split("\0") if name]
    else:  # an unpacked source distribution
        folders = ("src", "kernels", "tests", "benchmarks", "demo", "tools", "docker")
        paths = [path for folder in folders for path in Path(folder).rglob("*")]
    lengths = {
        path: path.read_bytes().count(b"\n")
        for path in paths
        if path.suffix in SUFFIXES and path.is_file()
    }
    long = {path: n for path, n in lengths.items() if n > LIMIT}
    for path, n in sorted(long.items()):
        print(f"{path}: {n} lines, more than {LIMIT}: split it along a concept", file=sys.stderr)
    print(f"file lengths: {len(lengths)} files, longest {max(lengths.values(), default=0)} lines")
    return 1 if long else 0


if __name__ == "__main__":
    sys.exit(main())
