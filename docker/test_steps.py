"""Run the steps of the Docker images, which are the README's, in a clean folder without Docker.

1. Every command of the README's ``sh`` blocks is a step of an image or listed in ``ELSEWHERE``, and
   every step of an image is in the README: none can go stale alone.
2. The steps of each image run in order in a fresh copy of the tracked files, with an environment
   that holds nothing but PATH, HOME and the settings of pip.
3. ``apt-get`` is checked by simulation where package lists are at hand, CUDA packages by pip's
   resolver (``--dry-run``): installing either for real needs root or gigabytes.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

TOP = Path(__file__).resolve().parent.parent
IMAGES = ("Dockerfile.cpu", "Dockerfile.cuda")

#: commands of the README that are no step of an image, and who tests them
ELSEWHERE = {
    "make test": "run by .ci/run",
    "make check": "runs this file",
    "make bench": "takes longer; its cases are tested in tests/",
    "venv/bin/pip install '.[cuda12]'": "resolved below, beside the steps of the CUDA image",
}


def main() -> int:
    readme = readme_commands()
    steps = {image: image_steps(image) for image in IMAGES}
    in_images = {step for image in IMAGES for step in steps[image]}
    problems = [f"not in README.md: {step}" for step in sorted(in_images - readme)]
    problems += [
        f"README.md: nothing runs: {c}" for c in sorted(readme - in_images - set(ELSEWHERE))
    ]
    if problems:
        print("\n".join(problems), file=sys.stderr)
        return 1
    with ThreadPoolExecutor(len(IMAGES)) as pool:
        passed = list(pool.map(lambda image: run_image(image, steps[image]), IMAGES))
    return 0 if all(passed) else 1


def run_image(image: str, steps: list[str]) -> bool:
    """Run the steps of one image until one fails."""
    resolved = ["venv/bin/pip install '.[cuda12]'"] if image == "Dockerfile.cuda" else []
    with tempfile.TemporaryDirectory() as folder:
        copy_sources(Path(folder) / "cuzarr")
        return all(run(image, step, Path(folder) / "cuzarr") for step in [*steps, *resolved])


def readme_commands() -> set[str]:
    """Return the commands in the README's ``sh`` blocks, without their comments."""
    blocks = re.findall(
        r"^```sh\n(.*?)^```", (TOP / "README.md").read_text(), re.MULTILINE | re.DOTALL
    )
    lines = [line.partition("  #")[0].strip() for block in blocks for line in block.splitlines()]
    return {line for line in lines if line and not line.startswith("#")}


def image_steps(image: str) -> list[str]:
    """Return the RUN steps of a Dockerfile, one command each."""
    text = (TOP / "docker" / image).read_text().replace("\\\n", "")
    return [" ".join(step.split()) for step in re.findall(r"^RUN (.*)$", text, re.MULTILINE)]


def copy_sources(target: Path) -> None:
    """Copy what is tracked, as it lies in the working tree."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=TOP, capture_output=True, check=True)
    for name in listed.stdout.decode().split("\0"):
        if name and (TOP / name).is_file():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(TOP / name, target / name)


def run(image: str, step: str, folder: Path) -> bool:
    """Run one step; print its output only if it fails."""
    started = time.perf_counter()
    command, note = adapt(step, folder)
    what = f"{image}: {step}{f'  ({note})' if note else ''}"
    if command is None:
        print(what, flush=True)
        return True
    kept = ("PATH", "HOME", "LANG", "SSL_CERT_FILE", "REQUESTS_CA_BUNDLE")
    environment = {
        name: value for name, value in os.environ.items() if name in kept or name.startswith("PIP_")
    }
    done = subprocess.run(
        ["bash", "-c", command], cwd=folder, env=environment, stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False,
    )  # fmt: skip
    if done.returncode:
        print(done.stdout.decode(errors="replace"), file=sys.stderr)
        print(f"{image}: failed with status {done.returncode}: {command}", file=sys.stderr)
        return False
    print(f"{what}: ok, {time.perf_counter() - started:.0f} s", flush=True)
    return True


def adapt(step: str, folder: Path) -> tuple[str | None, str]:
    """Return the command that tests a step on this machine, and how it differs from the step."""
    if step.startswith("apt-get update"):
        return None, "not run: it changes the machine"
    if step.startswith("apt-get install"):
        lists = Path("/var/lib/apt/lists")
        if not shutil.which("apt-get") or not any(lists.glob("*Packages*")):
            return None, "not run: no package lists here"
        return step.replace("install -y", "install --simulate"), "simulated"
    if "[cuda" in step:
        return step.replace("pip install", "pip install --quiet --dry-run"), "dry run"
    if step.endswith("try_installed.py") and not list(folder.glob("venv/lib*/*/*/cuzarr")):
        return None, "not run: nothing was installed"
    return step, ""


if __name__ == "__main__":
    sys.exit(main())
