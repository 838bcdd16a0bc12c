"""Base classes of what users write, under the import paths of zarr-python."""
