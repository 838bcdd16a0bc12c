"""Try an installed cuzarr outside its repository: imports, kernels, native reader, a round trip.

Fails loudly; ``CUZARR_NO_NATIVE=1`` accepts an installation built without a compiler.
"""

from __future__ import annotations

import os
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path

import numpy as np

import cuzarr
import cuzarr.native


def main() -> None:
    where = Path(cuzarr.__file__).parent
    assert "site-packages" in where.parts, f"not an installed package: {where}"
    assert cuzarr.__version__ == version("cuzarr")
    heavy = {"cupy", "kvikio", "zarr", "torch", "dask", "xarray"} & set(sys.modules)
    assert not heavy, f"import cuzarr brought {heavy}"

    kernels = [path.name for path in (where / "_kernels").iterdir() if path.suffix == ".cu"]
    assert kernels, "no kernel sources were installed"

    with tempfile.TemporaryDirectory() as folder:
        for zarr_format in (2, 3):
            path = f"{folder}/v{zarr_format}"
            data = np.arange(60_000, dtype="f4").reshape(200, 300)
            array = cuzarr.create_array(
                path, shape=data.shape, dtype="f4", chunks=(64, 64), zarr_format=zarr_format
            )
            array[...] = data
            again = cuzarr.open_array(path, mode="r", device="cpu")
            np.testing.assert_array_equal(again[...], data)
            np.testing.assert_array_equal(again[190:3:-7, 5], data[190:3:-7, 5])
    print(f"cuzarr {cuzarr.__version__} works from {where}")
    print(f"{len(kernels)} kernel sources, {native()}")


def native() -> str:
    """Say which native reader is in use."""
    extension = [name for name in sys.modules if name.startswith("cuzarr.native._")]
    files = [str(getattr(sys.modules[name], "__file__", "")) for name in extension]
    compiled = [name for name in files if name.endswith((".so", ".pyd"))]
    if not compiled and not os.environ.get("CUZARR_NO_NATIVE"):
        sys.exit("the native reader of cuzarr was not built or not loaded")
    return "compiled reader" if compiled else "Python reader"


if __name__ == "__main__":
    main()
