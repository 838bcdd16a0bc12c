"""What describes a node: ``array.metadata`` and ``group.metadata``."""

from cuzarr.meta.spec import NodeSpec as Metadata

__all__ = ["Metadata"]
