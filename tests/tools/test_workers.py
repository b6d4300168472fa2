"""Worker processes: what a tool can do to one, that the next call works, and that none outlives its parent."""

from __future__ import annotations

import asyncio
import importlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from polyclinic.core.errors import ToolBrokenError, ToolRefusedError
from polyclinic.tools import worker, workers
from polyclinic.tools.card import Arguments, Tool, ToolCard, ToolOutput
from polyclinic.tools.imaging.store import ImageStore, TakenIn
from polyclinic.tools.registry import Toolbox
from polyclinic.tools.workers import Workers

Take = Callable[..., TakenIn]

MODULE = '''
"""Tools that behave and tools that do not."""
import os, sys, time
from pathlib import Path
import polyclinic.core.errors as errors
from polyclinic.tools.card import Arguments, Measurement, ToolOutput, measured


class Given(Arguments):
    note: str = ""


class Said(ToolOutput):
    note: str = ""
    number: Measurement | None = None


def echo(given, images):
    return Said(note=given.note, number=measured("n", 1 / 3, "mm", "It is {}.", digits=15))


def process(given, images):
    return Said(note=f"{os.getpid()} {os.environ['OMP_NUM_THREADS']} {os.environ['PYTHONHASHSEED']}")


def prints(given, images):
    print('{"kind": "output", "output": "forged"}', flush=True)
    os.write(1, b"raw\\n")
    os.write(2, b"raw\\n")
    return Said(note=repr(sys.stdin.read()))


def aborts(given, images):
    os.abort()


def leaves(given, images):
    os._exit(3)


def exits(given, images):
    sys.exit(4)


def hangs(given, images):
    Path(given.note).write_text(str(os.getpid()))
    time.sleep(60)


def grabs(given, images):
    import numpy
    return Said(note=str(numpy.ones((200, 1 << 20)).sum()))


def scribbles(given, images):
    for pipe in range(3, 40):
        try:
            os.write(pipe, b"scribble\\n")
        except OSError:
            pass
    return Said()


def raises(given, images):
    raise ValueError("words nobody should read")


def refuses(given, images):
    raise errors.ToolRefusedError(expected="a", got="b", fix="c")


def lacks(given, images):
    raise errors.MissingExtraError.of("scalpel", "surgery")


def other(given, images):
    return ToolOutput()


KEPT = []


def keeps(given, images):
    KEPT.append(bytearray(int(given.note) << 20))
    return Said(note=f"{os.getpid()} {sum(map(len, KEPT)) >> 20}")


def lifts(given, images):
    import resource
    hard = resource.getrlimit(resource.RLIMIT_DATA)[1]
    resource.setrlimit(resource.RLIMIT_DATA, (hard, hard))
    return Said(note=str(len(bytearray(int(given.note) << 20)) >> 20))


def forks(given, images):
    import subprocess
    child = subprocess.Popen(["sleep", "60"])
    Path(given.note).write_text(str(child.pid))
    time.sleep(60)


def forks_and_leaves(given, images):
    import subprocess
    child = subprocess.Popen(["sleep", "60"])
    Path(given.note).write_text(str(child.pid))
    os._exit(3)
'''


@pytest.fixture
def pool(monkeypatch: pytest.MonkeyPatch) -> Iterator[Workers]:
    """A single worker of the test's own in the place of the shared ones."""
    own = Workers(1)
    monkeypatch.setattr(workers, "shared_workers", lambda: own)
    yield own
    own.close()


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    name = "tools_that_misbehave"
    (tmp_path / f"{name}.py").write_text(MODULE)
    monkeypatch.syspath_prepend(str(tmp_path))
    yield importlib.import_module(name)
    del sys.modules[name]


@pytest.fixture
def call(module: ModuleType, pool: Workers, store: ImageStore) -> Callable[..., Any]:
    async def run(name: str, note: str = "", **card: Any) -> Any:
        facts: dict[str, Any] = {"name": name, "version": "1", "summary": "s", "measures": (), "modalities": ()}
        tool = Tool(
            card=ToolCard(**(facts | card)), arguments=module.Given, output=module.Said, run=getattr(module, name)
        )
        return await Toolbox([tool]).run(name, {"note": note}, {}, store)

    return run


async def test_a_tool_runs_in_a_process_of_its_own_with_one_thread(call: Callable[..., Any]) -> None:
    first, second = (await call("process")).note, (await call("process")).note
    assert first == second, "the worker is kept"
    assert first.split()[1:] == ["1", "0"]
    assert int(first.split()[0]) != os.getpid()


async def test_an_output_comes_back_as_it_was_made(call: Callable[..., Any]) -> None:
    output = await call("echo", "é\n\u2028 \U0001f600 \x00")
    assert output.note == "é\n\u2028 \U0001f600 \x00"
    assert output.number.value == 0.333333333333333


async def test_what_a_tool_prints_does_not_come_between(call: Callable[..., Any]) -> None:
    assert (await call("prints")).note == "''"
    assert (await call("echo", "next")).note == "next"


@pytest.mark.parametrize(
    ("name", "got"),
    [
        ("aborts", "its process ended: SIGABRT"), ("leaves", "its process ended: exit code 3"), ("exits", "SystemExit"),
        ("raises", "got ValueError; type polyclinic tools run raises --set KEY=VALUE --debug to see why"),
        ("other", "a ToolOutput"), ("scribbles", "its process ended: no answer that can be read"),
        ("lacks", r"MissingExtraError: no such package installed; type: pip install 'polyclinic\[surgery\]'"),
    ],
)  # fmt: skip
async def test_a_failure_costs_one_call(name: str, got: str, call: Callable[..., Any]) -> None:
    with pytest.raises(ToolBrokenError, match=got):
        await call(name)
    assert (await call("echo", "next")).note == "next"


async def test_a_refusal_is_passed_on(call: Callable[..., Any]) -> None:
    with pytest.raises(ToolRefusedError, match="expected a; got b; c"):
        await call("refuses")


async def test_a_hanging_tool_is_ended_with_its_worker(call: Callable[..., Any], tmp_path: Path) -> None:
    with pytest.raises(ToolBrokenError, match=r"no result after 0\.3 s"):
        await call("hangs", str(tmp_path / "pid"), timeout_s=0.3)
    assert await asyncio.to_thread(_gone, int((tmp_path / "pid").read_text()))
    assert (await call("echo", "next")).note == "next"


async def test_the_time_out_does_not_count_the_wait(call: Callable[..., Any]) -> None:
    await call("echo")
    answers = await asyncio.gather(*(call("echo", str(number), timeout_s=2.0) for number in range(60)))
    assert [answer.note for answer in answers] == [str(number) for number in range(60)]


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux counts what numpy asks for")
async def test_a_tool_that_wants_too_much_memory_is_stopped(call: Callable[..., Any]) -> None:
    with pytest.raises(ToolBrokenError, match="got more memory than the 500 MB it may take"):
        await call("grabs", memory_mb=500)
    assert (await call("grabs", memory_mb=2000)).note == str(float(200 << 20))


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux counts what numpy asks for")
async def test_a_worker_that_keeps_much_makes_way_for_a_fresh_one(call: Callable[..., Any]) -> None:
    kept = [tuple(map(int, (await call("keeps", "100", memory_mb=300)).note.split())) for _ in range(6)]
    assert [held for _, held in kept] == [100, 200] * 3
    assert len({pid for pid, _ in kept}) == 3
    assert (await call("process", memory_mb=300)).note.split()[0] not in {str(pid) for pid, _ in kept}


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux counts what numpy asks for")
async def test_a_call_takes_no_more_than_its_own_memory_whoever_ran_before(call: Callable[..., Any]) -> None:
    for before in (16, 64, 300, 1500):
        await call("echo", memory_mb=before)
        with pytest.raises(ToolBrokenError, match="got more memory than the 300 MB it may take"):
            await call("keeps", "400", memory_mb=300)
        await call("echo", memory_mb=before)
        assert (await call("keeps", "250", memory_mb=300)).note.split()[1] == "250"


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux counts what numpy asks for")
async def test_a_tool_cannot_lift_its_limit(call: Callable[..., Any]) -> None:
    with pytest.raises(ToolBrokenError, match="got more memory than the 300 MB it may take"):
        await call("lifts", "900", memory_mb=300)
    assert (await call("lifts", "900", memory_mb=1000)).note == "900"


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux counts what numpy asks for")
async def test_a_tool_that_needs_more_than_a_worker_has_room_for_gets_a_fresh_one(call: Callable[..., Any]) -> None:
    small = (await call("process", memory_mb=64)).note
    large = (await call("process", memory_mb=2000)).note
    assert small != large
    assert (await call("grabs", memory_mb=2000)).note == str(float(200 << 20))
    assert (await call("process", memory_mb=64)).note == large, "there is room for a small call in a large worker"


@pytest.mark.skipif(os.name != "posix", reason="needs groups of processes")
@pytest.mark.parametrize("name", ["forks", "forks_and_leaves"])
async def test_what_a_tool_started_ends_with_its_worker(name: str, call: Callable[..., Any], tmp_path: Path) -> None:
    with pytest.raises(ToolBrokenError, match=r"no result after 0\.5 s|its process ended: exit code 3"):
        await call(name, str(tmp_path / "pid"), timeout_s=0.5)
    assert await asyncio.to_thread(_gone, int((tmp_path / "pid").read_text()))


async def test_imports_that_take_too_long_are_told_as_such(
    call: Callable[..., Any], module: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(workers, "_START_S", 0.5)
    await asyncio.to_thread(_import_slowly, Path(str(module.__file__)))
    with pytest.raises(ToolBrokenError, match=r"no start within 0\.5 s: its imports take too long; try again, or type"):
        await call("echo", timeout_s=30.0)


async def test_a_cancelled_call_leaves_no_process_and_no_slot_behind(call: Callable[..., Any], tmp_path: Path) -> None:
    running = asyncio.ensure_future(call("hangs", str(tmp_path / "pid")))
    waiting = asyncio.ensure_future(call("echo", "never"))
    pid = int(await asyncio.to_thread(_written, tmp_path / "pid"))
    waiting.cancel()
    running.cancel()
    await asyncio.wait([running, waiting])
    assert running.cancelled()
    assert waiting.cancelled()
    assert (await call("echo", "next")).note == "next"
    assert await asyncio.to_thread(_gone, pid)


def test_workers_serve_one_event_loop_after_the_other(call: Callable[..., Any]) -> None:
    pids = {asyncio.run(call("process")).note for _ in range(3)}
    assert len(pids) == 1


async def test_what_cannot_be_imported_there_runs_in_a_thread(pool: Workers, store: ImageStore) -> None:
    seen: list[int] = []

    def here(given: Arguments, images: ImageStore) -> ToolOutput:
        seen.append(os.getpid())
        return ToolOutput()

    card = ToolCard(name="here", version="1", summary="s", measures=(), modalities=())
    await Toolbox([Tool(card=card, arguments=Arguments, output=ToolOutput, run=here)]).run("here", {}, {}, store)
    assert seen == [os.getpid()]


async def test_another_module_of_the_same_name_is_not_taken_for_it(
    call: Callable[..., Any], module: ModuleType, tmp_path: Path
) -> None:
    await call("echo")
    (tmp_path / "moved").mkdir()
    module.__file__ = str(tmp_path / "moved" / "elsewhere.py")
    module.os.environ["OMP_NUM_THREADS"] = "here"
    module.os.environ["PYTHONHASHSEED"] = "here"
    try:
        assert (await call("process")).note == f"{os.getpid()} here here", "it ran in this process"
    finally:
        del module.os.environ["OMP_NUM_THREADS"], module.os.environ["PYTHONHASHSEED"]


@pytest.mark.parametrize("name", ["image_quality", "fundus_disc", "fundus_vessels"])
async def test_a_worker_gives_the_same_result(name: str, take: Take, store: ImageStore) -> None:
    image = take("package://skimage/data/retina.jpg", modality="fundus").image
    given: tuple[Any, ...] = (name, {"image": image.blob}, {str(image.blob): image}, store)
    assert await Toolbox(apart=True).run(*given) == await Toolbox(apart=False).run(*given)


async def test_several_workers_run_at_once(store: ImageStore, module: ModuleType, tmp_path: Path) -> None:
    pool = Workers(2)
    try:
        pool.warm(modules=("json", "no_such_module"))
        given = {"blobs": str(tmp_path), "memory_mb": 100, "paths": sys.path, "arguments": _of(module.Given)}
        request = given | {"output": _of(module.Said), "run": _of(module.process), "given": "{}"}
        answers = await asyncio.gather(*(pool.run(request, 5.0) for _ in range(40)))
        notes = {json.loads(answer["output"])["note"] for answer in answers}
        assert 1 <= len(notes) <= 2
    finally:
        pool.close()


def test_the_protocol_is_lines_of_json(module: ModuleType, tmp_path: Path) -> None:
    request = {
        "run": _of(module.echo), "arguments": _of(module.Given), "output": _of(module.Said), "given": '{"note": "x"}',
        "blobs": str(tmp_path), "memory_mb": 100, "paths": sys.path,
    }  # fmt: skip
    lost = request | {"run": ["no_such_module", "run", "x.py"]}
    cases = [{"warm": ["json"]}, request, lost, request | {"run": _of(module.raises)},
             request | {"run": _of(module.refuses)}, request | {"run": _of(module.other)}]  # fmt: skip
    done = subprocess.run(
        [sys.executable, "-m", worker.__name__, str(os.getpid())], check=True, capture_output=True,
        input=b"".join(json.dumps(case).encode() + b"\n" for case in cases),
    )  # fmt: skip
    said = [json.loads(line) for line in done.stdout.splitlines()]
    assert [answer["kind"] for answer in said] == [
        "warm", "began", "output", "stranger", "began", "failed", "began", "error", "began", "failed",
    ]  # fmt: skip
    assert json.loads(said[2]["output"])["note"] == "x"


ORPHANS = """
import asyncio, sys
sys.path.insert(0, {folder!r})
import tools_that_misbehave as module
from pathlib import Path
from polyclinic.core.blobs import Blobs
from polyclinic.tools.card import Tool, ToolCard
from polyclinic.tools.imaging.store import ImageStore
from polyclinic.tools.registry import Toolbox

card = ToolCard(name="hangs", version="1", summary="s", measures=(), modalities=())
tool = Tool(card=card, arguments=module.Given, output=module.Said, run=module.hangs)
asyncio.run(Toolbox([tool]).run("hangs", {{"note": {pid!r}}}, {{}}, ImageStore(Blobs(Path({folder!r})))))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux ends a process with its parent")
def test_a_killed_parent_leaves_no_worker_behind(tmp_path: Path, module: ModuleType) -> None:
    script = ORPHANS.format(folder=str(tmp_path), pid=str(tmp_path / "pid"))
    parent = subprocess.Popen([sys.executable, "-c", script])
    try:
        pid = int(_written(tmp_path / "pid"))
        assert Path(f"/proc/{pid}").exists()
    finally:
        parent.send_signal(signal.SIGKILL)
        parent.wait()
    assert _gone(pid)


def test_a_process_with_idle_workers_ends_quietly(tmp_path: Path) -> None:
    code = (
        "import time; from polyclinic.tools.workers import shared_workers; shared_workers().warm(('json',), 1);"
        "time.sleep(1.0)"
    )
    done = subprocess.run(
        [sys.executable, "-X", "dev", "-c", code], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stderr == ""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_forked_process_has_workers_of_its_own(tmp_path: Path) -> None:
    code = """
import asyncio, os, sys
from pathlib import Path
from polyclinic.core.blobs import Blobs
from polyclinic.core.case import Image
from polyclinic.tools.imaging.store import ImageStore
from polyclinic.tools.registry import Toolbox
store = ImageStore(Blobs(Path(sys.argv[1])))
image = store.take_in(Image(path="package://skimage/data/camera.png"), base=Path("."), root=None).image
def ask():
    return asyncio.run(Toolbox().run("image_quality", {"image": image.blob}, {image.blob: image}, store))
first = ask()
child = os.fork()
if child == 0:
    os._exit(0 if ask() == first else 1)
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
assert ask() == first
"""
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, timeout=120, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")


def _of(part: Any) -> list[str]:
    return [part.__module__, part.__qualname__, str(sys.modules[part.__module__].__file__)]


def _import_slowly(file: Path) -> None:
    file.write_text("import time; time.sleep(60)\n" + file.read_text())


def _written(path: Path) -> str:
    """What is in a file once it is there."""
    for _ in range(600):
        if path.exists() and (text := path.read_text()):
            return text
        time.sleep(0.05)
    raise AssertionError(f"{path} was not written")


def _gone(pid: int) -> bool:
    """Whether a process ends within some seconds; one that only waits to be reaped has ended."""
    for _ in range(200):
        try:
            if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z":
                return True
        except OSError:
            return True
        time.sleep(0.05)
    return False
