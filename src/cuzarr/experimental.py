"""What may change between releases. Nothing is experimental in this one."""

__all__: list[str] = []
