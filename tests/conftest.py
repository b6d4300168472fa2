"""What every test runs under: no network, a clean environment, repeatable examples, and a tree left as it was."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import pytest_socket
from hypothesis import HealthCheck, settings

ROOT = Path(__file__).resolve().parent.parent

settings.register_profile(
    "repeatable",
    derandomize=True,  # the same examples on every machine; a find belongs into an @example or a test of its own
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],  # a judgement on the machine, not on the code
)
settings.load_profile("repeatable")

# A developer's own settings and keys must not decide whether a test passes.
for name in [name for name in os.environ if name.startswith(("LANGCHAIN_", "LANGSMITH_", "OPENAI_", "POLYCLINIC_"))]:
    if name != "POLYCLINIC_TEST_DATA":
        del os.environ[name]
os.environ["HF_HUB_OFFLINE"] = "1"  # --disable-socket does not reach subprocesses


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """Openly licensed sample data kept beside the repository: `$POLYCLINIC_TEST_DATA`, else `../shared/data`."""
    folder = Path(os.environ.get("POLYCLINIC_TEST_DATA") or ROOT.parent / "shared" / "data")
    if not folder.is_dir():
        pytest.skip(f"no sample data: {folder} is not a folder; set POLYCLINIC_TEST_DATA to one that holds it")
    return folder


@pytest.fixture
def loopback() -> None:
    """Opens this machine's own addresses, and no others, for a test that talks to a server of its own."""
    pytest_socket.enable_socket()  # the plugin shuts them again before the next test
    pytest_socket.socket_allow_hosts(["127.0.0.1", "::1"], allow_unix_socket=True)


@pytest.fixture(scope="session")
def double() -> ModuleType:
    """The module bench/double.py, the controlled model server; bench is a folder of scripts, not a package."""
    spec = importlib.util.spec_from_file_location("double", ROOT / "bench" / "double.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["double"] = module  # dataclasses look their own module up by name
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def tiny_models() -> ModuleType:
    """The module tests/experts/tiny_models.py; skips where it could not write a model."""
    for package in ("torch", "transformers", "sentencepiece", "google.protobuf"):
        pytest.importorskip(package, reason="needs torch and transformers: type python tests/experts/run.py")
    spec = importlib.util.spec_from_file_location("tiny_models", ROOT / "tests" / "experts" / "tiny_models.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def _double_process(double: ModuleType) -> Iterator[Any]:
    with double.serving() as running:
        yield running


@pytest.fixture
def server(double: ModuleType, _double_process: Any, loopback: None) -> Any:
    """A double as new, and quick: one process of it serves all tests."""
    _double_process.configure(**vars(double.DoubleConfig(latency_s=0.01)))
    _double_process.reset()
    return _double_process


@pytest.fixture(scope="session", autouse=True)
def _tree_left_clean() -> Iterator[None]:
    """Fails in CI when a test leaves a file behind; at a desk others may be editing, so there it only watches."""
    before = _git_status()
    yield
    after = _git_status()
    if os.environ.get("CI") == "true" and before is not None and after != before:
        pytest.fail(f"the tests changed the working tree, which held\n{before or '(no change)'}\nand now\n{after}")


def _git_status() -> str | None:
    command = ["git", "status", "--porcelain", "--untracked-files=all"]
    try:
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None  # not a git checkout: nothing to compare
    return done.stdout
