"""The pool of worker processes that tools run in, so that a crash or a hang costs one call. It knows no tool by name.

A tool runs in a worker when its function, arguments and output can be imported there by name: all that ship do. Others
(closures, test doubles, what a script defines in `__main__`) run in a daemon thread of this process, where a crash of
native code ends the process, a hanging call goes on after it was given up, and memory is not limited.

Workers are started as they are needed, at most one per core, each with a single thread for arithmetic, so that a result
does not depend on how busy or how large the machine is. One that keeps much memory, or has too little room for a call,
makes way for a fresh one. They end with this process, and with a worker ends what its tools have started.
"""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import functools
import json
import os
import queue
import signal
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any, cast
from weakref import WeakKeyDictionary

from pydantic import ValidationError

from ..core.errors import DecisionError, ToolBrokenError
from .card import Arguments, Tool, ToolOutput

if TYPE_CHECKING:
    from .imaging.store import ImageStore
    from .worker import Address, Answer

IMAGING = ("numpy", "PIL.Image", "scipy.ndimage", "skimage.filters", "skimage.measure", "skimage.morphology")
"""What nearly every tool imports; a worker that is warmed has done so before its first call."""

_START_S = 60.0
"""How long a worker may take from a request to the start of the tool, imports of its module included."""

_ONE_THREAD = dict.fromkeys(
    ("MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "VECLIB_MAXIMUM_THREADS"), "1"
)


class _Call:
    """One request and the answer to come. `stop` ends the worker that is at it."""

    def __init__(self, request: dict[str, Any], timeout_s: float) -> None:
        self.line = json.dumps(request).encode() + b"\n"
        self.topic = json.dumps(request.get("run"))
        self.memory_mb: int = request.get("memory_mb", 0)
        self.timeout_s = timeout_s
        self.answer: Future[Answer] = Future()
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._stopped = ""

    def stop(self, why: str) -> None:
        """Kill the process that works on it; nothing when it is done already."""
        with self._lock:
            if not self._stopped and not self.answer.done():
                self._stopped = why
                if self._process is not None:
                    _kill(self._process)

    @contextlib.contextmanager
    def at_work(self, process: subprocess.Popen[bytes]) -> Iterator[None]:
        with self._lock:
            self._process = process
            if self._stopped:
                _kill(process)
        try:
            yield
        finally:
            with self._lock:
                self._process = None

    @property
    def stopped(self) -> str:
        with self._lock:
            return self._stopped

    @contextlib.contextmanager
    def within(self, seconds: float, otherwise: str) -> Iterator[None]:
        timer = threading.Timer(seconds, self.stop, [otherwise])
        timer.daemon = True
        timer.start()
        try:
            yield
        finally:
            timer.cancel()


class _Worker:
    """A process with the thread that starts it, hands it calls and reads its answers.

    The thread lives as long as the process: Linux ends a process with the thread that started it.
    """

    def __init__(self, pool: Workers) -> None:
        self.topic = ""
        self.room_mb = 0  # what the first call of the process may take settles what later ones may
        self._pool = pool
        self._process: subprocess.Popen[bytes] | None = None
        self._calls: queue.SimpleQueue[_Call | None] = queue.SimpleQueue()
        threading.Thread(target=self._work, name="polyclinic tool worker", daemon=True).start()

    def take(self, call: _Call | None) -> None:
        """Work on `call` next; on None end."""
        self._calls.put(call)

    def kill(self) -> None:
        process = self._process
        if process is not None:
            _kill(process)
            process.wait()

    def _work(self) -> None:
        while (call := self._calls.get()) is not None:
            if call.answer.set_running_or_notify_cancel():
                self.topic = call.topic
                call.answer.set_result(self._answer(call))
            self._pool.freed(self)
        self._end()

    def _answer(self, call: _Call) -> Answer:
        """What comes of `call`; the process is ended when it can serve no further one."""
        try:
            answer = self._asked(call)
            if answer["kind"] == "full" and not call.stopped:
                self._end()
                answer = self._asked(call)
        except (OSError, RuntimeError, ValueError) as error:  # no process, no thread, or scribbled-over pipes
            answer = {"kind": "ended", "how": f"no answer that can be read ({type(error).__name__})"}
        if call.stopped:  # whatever it still said, it is being killed
            self._end()
            return {"kind": call.stopped}
        if answer["kind"] in ("ended", "memory") or answer.get("full"):
            self._end()
        return answer

    def _asked(self, call: _Call) -> Answer:
        process = self._started()
        self.room_mb = self.room_mb or call.memory_mb
        with call.at_work(process):
            return self._exchange(process, call)

    def _exchange(self, process: subprocess.Popen[bytes], call: _Call) -> Answer:
        assert process.stdin is not None
        assert process.stdout is not None
        said = b""
        with contextlib.suppress(BrokenPipeError), call.within(_START_S, "unstarted"):
            process.stdin.write(call.line)
            process.stdin.flush()
            said = process.stdout.readline()
        if b'"began"' in said[:24]:
            with call.within(call.timeout_s, "late"):
                said = process.stdout.readline()
        if said.endswith(b"\n"):
            return cast("Answer", json.loads(said))
        return {"kind": "ended", "how": _ended(process.wait())}

    def _started(self) -> subprocess.Popen[bytes]:
        if self._process is not None and self._process.poll() is None:
            return self._process
        self._end()
        # -P and absolute paths: no file of the folder a person happens to work in stands in for a library. A fixed
        # hash seed: sets of words have one order.
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", f"{__package__}.worker", str(os.getpid())],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
            env={**os.environ, **_ONE_THREAD, "PYTHONPATH": os.pathsep.join(_paths()), "PYTHONHASHSEED": "0"},
            process_group=0 if os.name == "posix" else None,  # Ctrl-C is the parent's affair
        )  # fmt: skip
        return self._process

    def _end(self) -> None:
        process, self._process, self.room_mb = self._process, None, 0
        if process is None:
            return
        _kill(process)
        process.wait()
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                with contextlib.suppress(OSError):  # what could not be written any more
                    pipe.close()


class Workers:
    """At most `most` workers (one per core by default). Calls wait their turn in the order they came."""

    def __init__(self, most: int | None = None) -> None:
        self._most = most or os.cpu_count() or 1
        self._lock = threading.Lock()
        self._all: list[_Worker] = []
        self._idle: list[_Worker] = []
        self._waiting: deque[_Call] = deque()

    async def run(self, request: dict[str, Any], timeout_s: float) -> Answer:
        """The worker's answer, or `unstarted`, `late`, `ended` with how. Cancelling ends the worker that is at it."""
        call = _Call(request, timeout_s)
        self._hand_out(call)
        try:
            return await asyncio.wrap_future(call.answer)
        except asyncio.CancelledError:
            call.stop("given up")
            raise

    def warm(self, modules: tuple[str, ...] = IMAGING, count: int | None = None) -> None:
        """Start `count` workers (as many as there may be by default), unless there are some, and let them import what
        tools need meanwhile."""
        with self._lock:
            missing = 0 if self._all else min(self._most, count or self._most)
        for _ in range(missing):
            self._hand_out(_Call({"warm": list(modules)}, _START_S), afresh=True)

    def close(self) -> None:
        """End every worker; a call under way comes to nothing."""
        with self._lock:
            workers, self._all, self._idle = self._all, [], []
            waiting, self._waiting = self._waiting, deque()
        for call in waiting:
            call.answer.cancel()
        for worker in workers:
            worker.take(None)
            worker.kill()

    def freed(self, worker: _Worker) -> None:
        """`worker` is done with its call: it takes the next that waits."""
        with self._lock:
            if self._waiting:
                worker.take(self._waiting.popleft())
            elif worker in self._all:
                self._idle.append(worker)

    def _hand_out(self, call: _Call, *, afresh: bool = False) -> None:
        with self._lock:
            if self._idle and not afresh:
                worker = min(reversed(self._idle), key=lambda one: _unfit(one, call))
                self._idle.remove(worker)
            elif len(self._all) < self._most:
                worker = _Worker(self)
                self._all.append(worker)
            else:
                self._waiting.append(call)
                return
            worker.take(call)


def _unfit(worker: _Worker, call: _Call) -> tuple[bool, bool, bool]:
    """How little a worker suits a call: best is one that has run this tool, then one with room, then an unused one."""
    return worker.topic != call.topic, worker.room_mb < call.memory_mb, worker.room_mb > 0


def _kill(process: subprocess.Popen[bytes]) -> None:
    """Kill a worker, even one that has ended, with what its tools have started: it leads a group of its own."""
    if os.name != "posix":
        process.kill()
        return
    with contextlib.suppress(ProcessLookupError, PermissionError):  # nobody left; macOS denies it where all have ended
        os.killpg(process.pid, signal.SIGKILL)


@functools.cache
def shared_workers() -> Workers:
    """The workers of this process."""
    workers = Workers()
    atexit.register(workers.close)
    return workers


_OF_THE_PARENT: list[Workers] = []


def _forked() -> None:
    """A forked process starts workers of its own. The parent's are kept, so that nothing here closes or reaps them."""
    if shared_workers.cache_info().currsize:
        workers = shared_workers()
        atexit.unregister(workers.close)
        _OF_THE_PARENT.append(workers)
        shared_workers.cache_clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forked)


async def run_tool(tool: Tool, given: Arguments, images: ImageStore, *, apart: bool = True) -> ToolOutput:
    """The tool's output; with `apart` from a worker where that can be.

    Raises ToolRefusedError as the tool does, ToolBrokenError for everything else that goes wrong, the tool's own
    exception in a thread, and TimeoutError after the card's time-out, counted from the moment the tool starts.
    """
    request = _request(tool, given, images) if apart else None
    if request is not None:
        answer = await shared_workers().run(request, tool.card.timeout_s)
        if answer["kind"] != "stranger":
            return _output(tool, answer)
    async with _slots():
        return await asyncio.wait_for(_in_thread(tool, given, images), tool.card.timeout_s)


def _request(tool: Tool, given: Arguments, images: ImageStore) -> dict[str, Any] | None:
    """What a worker is asked, or None for a tool that cannot be imported by name."""
    addresses = [_address(part) for part in (tool.run, type(given), tool.output)]
    if not all(addresses) or not sys.executable:
        return None
    return {
        "run": addresses[0], "arguments": addresses[1], "output": addresses[2], "given": given.model_dump_json(),
        "blobs": os.path.abspath(images.folder), "memory_mb": tool.card.memory_mb, "paths": _paths(),
    }  # fmt: skip


def _paths() -> list[str]:
    """Where modules are looked for: what can be imported here can be imported in a worker."""
    return [os.path.abspath(path) for path in sys.path]


def _address(part: Any) -> Address | None:
    """Where a worker finds a function or a class, or None where it is not what its module calls by its name."""
    module, name = getattr(part, "__module__", None), getattr(part, "__qualname__", None)
    file = getattr(sys.modules.get(module or ""), "__file__", None)
    if not module or not name or not file or module == "__main__":
        return None
    found: Any = sys.modules[module]
    for step in name.split("."):
        found = getattr(found, step, None)
    return [module, name, file] if found is part else None


def _output(tool: Tool, answer: Answer) -> ToolOutput:
    """The output in a worker's answer, validated again. Raises what the answer says went wrong."""
    kind, seen = answer["kind"], how_to_see(tool)
    if kind == "output":
        try:
            return tool.output.model_validate_json(answer["output"])
        except ValidationError:
            raise broken(tool, f"an output that is no {tool.output.__name__}", seen) from None
    if kind == "error":
        raise DecisionError.from_record(answer["error"])
    if kind == "late":
        raise TimeoutError
    if kind == "unstarted":
        raise broken(tool, f"no start within {_START_S:g} s: its imports take too long", f"try again, or {seen}")
    if kind == "memory":
        most = f"more memory than the {tool.card.memory_mb} MB it may take"
        raise broken(tool, most, "try a smaller picture")
    if kind == "failed":
        raise broken(tool, answer["what"], answer["fix"] or seen)
    raise broken(tool, f"its process ended: {answer.get('how', kind)}", seen)


def broken(tool: Tool, got: str, fix: str) -> ToolBrokenError:
    """A tool's failure in the words of the tree of errors."""
    return ToolBrokenError(expected=f"a result of the tool {tool.card.name}", got=got, fix=fix)


def how_to_see(tool: Tool) -> str:
    """What to type to see where a tool fails."""
    given = "IMAGE" if tool.card.looks else "--set KEY=VALUE"
    return f"type polyclinic tools run {tool.card.name} {given} --debug to see why"


def _ended(code: int) -> str:
    """An exit status in words: SIGSEGV, exit code 3."""
    if code < 0:
        with contextlib.suppress(ValueError):
            return signal.Signals(-code).name
    return f"exit code {code}"


_SLOTS: WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Semaphore] = WeakKeyDictionary()


def _slots() -> asyncio.Semaphore:
    """As many tools at a time in threads as there are cores. The time-out starts when a tool runs, so a full house of
    cases gets the same answers as a single one."""
    return _SLOTS.setdefault(asyncio.get_running_loop(), asyncio.Semaphore(os.cpu_count() or 1))


async def _in_thread(tool: Tool, given: Arguments, images: ImageStore) -> ToolOutput:
    """The tool's output from a daemon thread: unlike a pool's, one that hangs does not keep the process alive."""
    loop = asyncio.get_running_loop()
    done: asyncio.Future[ToolOutput] = loop.create_future()

    def settle(output: ToolOutput | None, error: BaseException | None) -> None:
        if done.done():
            return
        if error is not None:
            done.set_exception(error)
        else:
            done.set_result(cast(ToolOutput, output))

    def work() -> None:
        output: ToolOutput | None = None
        failure: BaseException | None = None
        try:
            output = tool.run(given, images)
        except BaseException as error:  # noqa: BLE001 - carried over to the caller, whatever it is
            plain = isinstance(error, Exception) and not isinstance(error, StopIteration)
            failure = error if plain else RuntimeError(repr(error))  # these two would end the event loop
        with contextlib.suppress(RuntimeError):  # the loop has ended: nobody waits any more
            loop.call_soon_threadsafe(settle, output, failure)

    threading.Thread(target=work, name=f"tool {tool.card.name}", daemon=True).start()
    return await done
