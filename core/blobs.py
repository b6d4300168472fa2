"""A folder of bytes named by their sha256: images and masks live here, records only name them."""

from __future__ import annotations

import contextlib
import os
import threading
from pathlib import Path

from .canonical import sha256
from .errors import StorageError, TraceError


class Blobs:
    """Content-addressed storage under one folder; writing the same bytes twice stores them once.

    A blob that was damaged is mended by the next writer of the same bytes.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def path(self, name: str) -> Path:
        return self.folder / name[:2] / name

    def put(self, data: bytes) -> str:
        """Store `data` and return its sha256. Raises StorageError when the disk refuses."""
        name = sha256(data)
        target = self.path(name)
        part = target.with_name(f"{name}.{os.getpid()}.{threading.get_ident()}.part")
        try:
            if target.is_file() and target.read_bytes() == data:
                return name
            target.parent.mkdir(parents=True, exist_ok=True)
            with part.open("wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())  # a trace that names a blob must find it after a power cut
            part.replace(target)
        except OSError as error:
            with contextlib.suppress(OSError):
                part.unlink()  # half a blob would keep a full disk full
            raise StorageError(
                expected=f"room and permission to write in {self.folder}",
                got=error.strerror or type(error).__name__,
                fix="free some space or name another folder with --runs",
            ) from error
        return name

    def get(self, name: str) -> bytes:
        """The bytes called `name`. Raises TraceError when they are missing or no longer hash to their name."""
        try:
            data = self.path(name).read_bytes()
        except OSError as error:
            raise TraceError(
                expected=f"the blob {name[:12]}… in {self.folder}",
                got=error.strerror or type(error).__name__,
                fix="restore the blobs folder, or ask the case again from its images",
            ) from error
        if sha256(data) != name:
            raise TraceError(
                expected=f"the blob {name[:12]}… to hash to its name",
                got="other bytes",
                fix="restore the file from a copy; it was changed after it was written",
            )
        return data
