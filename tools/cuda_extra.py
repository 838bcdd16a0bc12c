"""Print the CUDA extra that this machine's driver can use: ``cuda12``, ``cuda13``, or nothing.

The driver library is absent on a machine without a driver; with one but no device it says so, and
nothing is printed.
"""

from __future__ import annotations

import ctypes


def main() -> None:
    try:
        driver = ctypes.CDLL("libcuda.so.1")
    except OSError:
        return
    version = ctypes.c_int()
    count = ctypes.c_int()
    if driver.cuInit(0) or driver.cuDeviceGetCount(ctypes.byref(count)) or not count.value:
        return
    if driver.cuDriverGetVersion(ctypes.byref(version)) != 0:
        return
    major = version.value // 1000
    if major >= 12:
        print("cuda13" if major >= 13 else "cuda12")


if __name__ == "__main__":
    main()
