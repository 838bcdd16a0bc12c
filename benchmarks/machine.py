"""What a result was measured on: machine, versions, commit, date."""

from __future__ import annotations

import datetime as dt
import os
import platform
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
_PACKAGES = (
    "cuzarr", "numpy", "numcodecs", "backports.zstd", "zarr", "zarrs", "tensorstore",
)  # fmt: skip


def machine() -> dict[str, str | int | float]:
    """Return processor, cores, memory, system and Python."""
    return {
        "processor": _field("/proc/cpuinfo", "model name") or platform.processor(),
        "cores": len(os.sched_getaffinity(0)),
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
    }


def versions(packages: tuple[str, ...] = _PACKAGES) -> dict[str, str]:
    """Return the installed versions, "not installed" where a package is absent."""
    found = {}
    for package in packages:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "not installed"
    return found


def commit() -> str:
    """Return the commit of the working tree, with "+" where tracked files were changed.

    A tree that was copied without its history says which it is through ``CUZARR_COMMIT``.
    """
    if "CUZARR_COMMIT" in os.environ:
        return os.environ["CUZARR_COMMIT"]
    try:
        head = _git("rev-parse", "--short=12", "HEAD")
        changed = _git("status", "--porcelain", "--untracked-files=no")
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return head + ("+" if changed else "")


def now() -> str:
    """Return the date and time, UTC."""
    return dt.datetime.now(dt.UTC).isoformat(timespec="seconds")


def _git(*arguments: str) -> str:
    command = ["git", "-C", str(ROOT), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def _field(path: str, name: str) -> str | None:
    try:
        lines = Path(path).read_text().splitlines()
    except OSError:
        return None
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith(name)), None)
