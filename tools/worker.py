"""What a worker process runs: tool calls one after the other, as lines of JSON over pipes of its own. It picks no tool.

A request names a function and the classes of its arguments and output, each by module, name and file. For each request
`{"kind": "began"}` goes back as the tool starts, then one answer: `output` with the output as JSON, `error` with an
error of ours as it is recorded, `failed` with what else was raised, `memory` when the limit was reached, `stranger`
when something named cannot be imported here. What a tool prints goes nowhere.
"""

from __future__ import annotations

import contextlib
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
    """Answer every line of `requests` until there are no more."""

    def say(answer: Answer) -> None:
        answers.write(json.dumps(answer).encode() + b"\n")
        answers.flush()

    for line in requests:
        request = json.loads(line)
        if "warm" in request:
            say(_warm(request["warm"]))
        else:
            say(answer_of(request, lambda: say({"kind": "began"})))


def answer_of(request: dict[str, Any], began: Callable[[], None]) -> Answer:
    """What comes of one call; `began` is called as the tool starts."""
    if sys.path != request["paths"]:
        sys.path[:] = request["paths"]
        importlib.invalidate_caches()
    try:
        run, arguments, output = (_located(*request[part]) for part in ("run", "arguments", "output"))
    except Exception as error:  # noqa: BLE001 - the border of a tool call: importing it runs its module
        return {"kind": "stranger", "what": type(error).__name__}
    try:
        given = arguments.model_validate_json(request["given"])
        images = ImageStore(Blobs(Path(request["blobs"])))
        began()
        with _limited(request["memory_mb"]):
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


@contextlib.contextmanager
def _limited(memory_mb: int) -> Iterator[None]:
    """At most `memory_mb` more than the process holds already. Only Linux counts what numpy and onnxruntime ask for."""
    if sys.platform != "linux":
        yield
        return
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_DATA)
    most = _held_bytes() + memory_mb * _MB
    resource.setrlimit(resource.RLIMIT_DATA, (most if hard == resource.RLIM_INFINITY else min(most, hard), hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_DATA, (soft, hard))


def _held_bytes() -> int:
    status = Path("/proc/self/status").read_text(encoding="ascii", errors="replace")
    return next(int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith("VmData"))


def _end_with(parent: int) -> None:
    """End when the parent does, however it ends: on Linux at once, elsewhere when the call under way is done."""
    if sys.platform == "linux":
        import ctypes

        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:  # it has ended since it started this process
            sys.exit(1)


if __name__ == "__main__":
    main(int(sys.argv[1]))
