"""Files that one writer at a time appends to, in whole pieces. It does not know what the pieces mean."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
from pathlib import Path

from .errors import RunLockedError


def open_locked(path: Path, flags: int, *, busy: str, fix: str) -> int:
    """A descriptor that appends to `path` under an exclusive lock.

    Raises OSError when the file cannot be opened, RunLockedError (`busy` is what came, `fix` what to do) when another
    writer, in this process or another, holds it.
    """
    fd = os.open(path, os.O_RDWR | os.O_APPEND | flags, 0o644)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(fd)
        raise RunLockedError(expected=f"to be the only writer of {path}", got=busy, fix=fix) from error
    return fd


def append_whole(fd: int, data: bytes, *, durable: bool = False) -> None:
    """Append `data` in one write, with `durable` onto the disk. Raises OSError; the file is then as it was."""
    written = 0
    try:
        written = os.write(fd, data)
        if written != len(data):
            raise OSError(errno.ENOSPC, "No space left on device")
        if durable:
            os.fsync(fd)
    except OSError:
        with contextlib.suppress(OSError):  # what cannot be cut off now is dropped as torn on the next open
            os.ftruncate(fd, os.fstat(fd).st_size - written)
        raise
