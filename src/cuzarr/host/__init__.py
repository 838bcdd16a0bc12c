"""The host backend."""
