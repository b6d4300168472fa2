"""A file that is there whole or not at all. It does not know what is in it."""

from __future__ import annotations

from pathlib import Path

from .errors import SetupError


def write_whole(path: Path, data: bytes) -> None:
    """Write a file whole or not at all, with its folder. Raises SetupError."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        unfinished = path.with_name(path.name + ".part")
        unfinished.write_bytes(data)
        unfinished.replace(path)
    except OSError as error:
        raise SetupError(
            expected=f"to write {path}", got=error.strerror or str(error), fix="name a folder you may write to"
        ) from error
