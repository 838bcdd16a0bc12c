"""Benchmarks: the same cases for cuzarr and for every peer, interleaved in one process."""
