"""A process of its own for gdcm, which reads what nothing else does and on damaged bytes ends the process it runs in.

The process answers one request after the other, over pipes: DICOM bytes and the number of a frame in, the frame's
stored values as .npy out. It is started when the first frame needs it and serves a whole series. A frame that cannot be
decoded ends it.
"""

from __future__ import annotations

import contextlib
import io
import os
import struct
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from .raster import damaged

if TYPE_CHECKING:
    from numpy.typing import NDArray

_SECONDS = 60.0
_MOST_BYTES = 3 * 2**30  # a file of 512 MiB twice, and 100 megapixels of colour in gdcm, in pydicom and as .npy
_REQUEST, _ANSWER = struct.Struct(">QQ"), struct.Struct(">Q")
_ONE_THREAD = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
_PACKAGE = Path(__file__).parents[3]
_CODE = f"from {__package__} import apart, dicom; apart.serve(dicom.values_by_gdcm)"


class Apart:
    """At most one decoding process; a context that ends it."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._end()

    def stored_values(self, data: bytes, index: int, *, shown: str) -> NDArray[Any]:
        """The stored values of frame `index`, counted from 0, of a DICOM file's bytes. Raises InputError."""
        import numpy as np

        try:
            if self._process is None:
                self._process = _started()
            late = threading.Timer(_SECONDS, self._process.kill)
            late.start()
            try:
                answer = _exchanged(self._process, data, index)
            finally:
                late.cancel()
            return np.asarray(np.load(io.BytesIO(answer), allow_pickle=False))
        except (OSError, EOFError, ValueError, struct.error):
            self._end()
            raise damaged(shown) from None

    def _end(self) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        process.kill()
        process.wait()
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                with contextlib.suppress(OSError):  # what could not be written any more
                    pipe.close()


def _started() -> subprocess.Popen[bytes]:
    # -P and absolute paths: no file of the folder a person happens to work in stands in for a library.
    paths = [*(os.path.abspath(path) for path in sys.path if path), str(_PACKAGE)]
    return subprocess.Popen(
        [sys.executable, "-P", "-W", "ignore", "-c", _CODE],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
        env={**os.environ, **_ONE_THREAD, "PYTHONPATH": os.pathsep.join(paths)},
        process_group=0 if os.name == "posix" else None,  # Ctrl-C is the parent's affair
    )  # fmt: skip


def _exchanged(process: subprocess.Popen[bytes], data: bytes, index: int) -> bytes:
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(_REQUEST.pack(len(data), index))
    process.stdin.write(data)
    process.stdin.flush()
    (size,) = _ANSWER.unpack(process.stdout.read(_ANSWER.size))
    return process.stdout.read(size)


def serve(decode: Callable[[bytes, int], NDArray[Any]]) -> None:
    """What the process runs: answer requests on standard input by `decode` until there are no more."""
    import numpy as np

    _limit_memory()
    with os.fdopen(os.dup(0), "rb") as requests, os.fdopen(os.dup(1), "wb") as answers:
        os.dup2(2, 1)  # what gdcm prints must not come between the answers
        while head := requests.read(_REQUEST.size):
            size, index = _REQUEST.unpack(head)
            buffer = io.BytesIO()
            np.save(buffer, decode(requests.read(size), index), allow_pickle=False)
            answers.write(_ANSWER.pack(buffer.tell()))
            answers.write(buffer.getbuffer())
            answers.flush()


def _limit_memory() -> None:
    """Only Linux counts what gdcm and numpy ask for."""
    if sys.platform != "linux":
        return
    import resource

    _, hard = resource.getrlimit(resource.RLIMIT_DATA)
    most = _MOST_BYTES if hard == resource.RLIM_INFINITY else min(_MOST_BYTES, hard)
    resource.setrlimit(resource.RLIMIT_DATA, (most, hard))
