"""What a worker process runs: tool calls one after the other, as lines of JSON over pipes of its own. It picks no tool.

A request names a function and the classes of its arguments and output, each by module, name and file. For each request
`{"kind": "began"}` goes back as the tool starts, then one answer: `output` with the output as JSON, `error` with an
error of ours as it is recorded, `failed` with what else was raised, `memory` when the limit was reached, `stranger`
when something named cannot be imported here, `full` when the process has no room for such a call. An answer with
`full` is the last: the process keeps too much. What a tool prints goes nowhere.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import json
import os
import re
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO, TypeAlias

from ..core.blobs import Blobs
from ..core.errors import PolyclinicError, ToolBrokenError, ToolRefusedError
from .imaging.store import ImageStore

Answer: TypeAlias = dict[str, Any]
Address: TypeAlias = list[str]
"""[module, qualified name, file] of a function or a class."""

_MB = 2**20
_PR_SET_PDEATHSIG = 1
_OUT_OF_MEMORY = re.compile(r"bad.?alloc|allocate memory|memory allocation|not enough memory", re.I)


def main(parent: int) -> None:
    """Serve the process `parent` over standard input and output until it closes them or ends."""
    _end_with(parent)
    with os.fdopen(os.dup(0), "rb") as requests, os.fdopen(os.dup(1), "wb") as answers:
        nothing = os.open(os.devnull, os.O_RDONLY)
        os.dup2(nothing, 0)
        os.dup2(2, 1)  # what a tool prints must not come between the answers
        with contextlib.suppress(BrokenPipeError):
            serve(requests, answers)


def serve(requests: BinaryIO, answers: BinaryIO) -> None:
    """Answer every line of `requests` until there are no more; memory is limited for good."""
    room = _Room()

    def say(answer: Answer) -> None:
        answers.write(json.dumps(answer).encode() + b"\n")
        answers.flush()

    for line in requests:
        request = json.loads(line)
        if "warm" in request:
            say(_warm(request["warm"]))
        else:
            answer = _answer(request, room, lambda: say({"kind": "began"}))
            say(answer | {"full": True} if room.full() else answer)


def _answer(request: dict[str, Any], room: _Room, began: Callable[[], None]) -> Answer:
    """What comes of one call; `began` is called as the tool starts."""
    if sys.path != request["paths"]:
        sys.path[:] = request["paths"]
        importlib.invalidate_caches()
    try:
        run, arguments, output = (_located(*request[part]) for part in ("run", "arguments", "output"))
    except Exception as error:  # noqa: BLE001 - the border of a tool call: importing it runs its module
        return {"kind": "stranger", "what": type(error).__name__}
    if not room.takes(request["memory_mb"]):
        return {"kind": "full"}
    try:
        given = arguments.model_validate_json(request["given"])
        images = ImageStore(Blobs(Path(request["blobs"])))
        began()
        with room.limited(request["memory_mb"]):
            made = run(given, images)
        if not isinstance(made, output):
            return {"kind": "failed", "what": f"a {type(made).__name__}", "fix": f"let it return {output.__name__}"}
        return {"kind": "output", "output": made.model_dump_json()}
    except (ToolRefusedError, ToolBrokenError) as error:
        return {"kind": "error", "error": error.as_record()}
    except PolyclinicError as error:
        return {"kind": "failed", "what": f"{type(error).__name__}: {error.got}", "fix": error.fix}
    except BaseException as error:  # noqa: BLE001 - the border of a tool call: whatever it raises is the tool's failure
        if isinstance(error, MemoryError) or _OUT_OF_MEMORY.search(str(error)):
            return {"kind": "memory"}
        return {"kind": "failed", "what": type(error).__name__, "fix": ""}


def _located(module: str, name: str, file: str) -> Any:
    """What is called `name` in a module of that file. Raises ImportError for another file of the same name."""
    found: Any = importlib.import_module(module)
    if getattr(found, "__file__", None) != file:
        raise ImportError(f"{module} is another file here")
    for part in name.split("."):
        found = getattr(found, part)
    return found


def _warm(modules: list[str]) -> Answer:
    """Import what tools are going to need; what is not installed is for the tool to say."""
    for module in modules:
        with contextlib.suppress(ImportError):
            importlib.import_module(module)
    return {"kind": "warm"}


class _Room:
    """The memory that calls may take here. Only Linux counts what numpy and onnxruntime ask for; elsewhere none is.

    What the process holds once the first tool is imported is the ground, what the first call may take is the room. A
    call may take what its tool states beyond what is held when it starts; a process that keeps more than KEPT of its
    room is full; and none ever holds more than the ground and 1 + KEPT times the room, which no tool can lift.
    """

    KEPT = 0.5

    def __init__(self) -> None:
        self._ground = self._room = 0

    def takes(self, memory_mb: int) -> bool:
        """Whether a call that may take `memory_mb` can be made here; the first one settles how much that is."""
        if not self._room:
            self._ground, self._room = _held_bytes(), memory_mb * _MB
        return memory_mb * _MB <= self._room and not self.full()

    def full(self) -> bool:
        """Whether earlier calls left so much that a fresh process serves the next one better."""
        if self._keeps_much():
            gc.collect()
        return self._keeps_much()

    @contextlib.contextmanager
    def limited(self, memory_mb: int) -> Iterator[None]:
        """A call that may take `memory_mb`, for which there is room."""
        if sys.platform != "linux":
            yield
            return
        import resource

        _, hard = resource.getrlimit(resource.RLIMIT_DATA)
        most = self._ground + int((1 + self.KEPT) * self._room)
        hard = most if hard == resource.RLIM_INFINITY else min(most, hard)
        resource.setrlimit(resource.RLIMIT_DATA, (min(_held_bytes() + memory_mb * _MB, hard), hard))
        try:
            yield
        finally:
            _, hard = resource.getrlimit(resource.RLIMIT_DATA)  # a tool may have lowered it
            resource.setrlimit(resource.RLIMIT_DATA, (hard, hard))

    def _keeps_much(self) -> bool:
        return self._room > 0 and _held_bytes() > self._ground + self.KEPT * self._room


def _held_bytes() -> int:
    """What Linux counts against the limit, and the stack."""
    if sys.platform != "linux":
        return 0
    with open("/proc/self/statm", "rb") as file:
        return int(file.read().split()[5]) * os.sysconf("SC_PAGE_SIZE")


def _end_with(parent: int) -> None:
    """End when the parent does, however it ends: on Linux at once, elsewhere when the call under way is done."""
    if sys.platform == "linux":
        import ctypes

        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:  # it has ended since it started this process
            sys.exit(1)


if __name__ == "__main__":
    main(int(sys.argv[1]))
