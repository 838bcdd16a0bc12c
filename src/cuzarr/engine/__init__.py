"""The engine: one read loop and one write loop over any backend."""
