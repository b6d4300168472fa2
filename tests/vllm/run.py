"""Runs the tests that need a real vLLM server: environment, models, server, pytest, and everything ended again.

    .venv/bin/python tests/vllm/run.py [PYTEST ARGUMENTS]     what `make test-vllm` does
    .venv/bin/python tests/vllm/run.py --figures              prints the prefix cache's share instead
    .venv/bin/python tests/vllm/run.py --evaluations DATA     prints what becomes of a hundred samples by every arm

The environment and the models are kept in the cache folder (environment.py says where), so the second run starts with
the server. The tests find it by $VLLM_TEST_URL; with that set by hand, pytest alone is enough.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from environment import CannotBuildError, ensure, recipe, step
from server import CannotServeError, last_lines, serving

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
CORPUS = ROOT / "LICENSE"  # plain English that never changes, so that the model does not either


def models(python: Path) -> Path:
    """The folder with the model and its adapters; written anew when what writes it has changed."""
    parts = [recipe().encode(), (HERE / "tiny_models.py").read_bytes(), CORPUS.read_bytes()]
    digest = hashlib.sha256(b"\0".join(parts)).hexdigest()
    folder = python.parents[2] / f"tiny-models-{digest[:12]}"
    if folder.is_dir():
        return folder
    unfinished = folder.with_name(f"{folder.name}.{os.getpid()}")
    with step("a tiny model and two adapters"):
        command = [python, HERE / "tiny_models.py", unfinished, CORPUS]
        written = subprocess.run(command, capture_output=True, text=True, check=False)
        if written.returncode:
            shutil.rmtree(unfinished, ignore_errors=True)
            raise CannotBuildError(f"the model could not be written:\n{written.stderr[-3000:]}")
        unfinished.rename(folder)
    return folder


def main(arguments: list[str]) -> int:
    began = time.monotonic()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that the server is ended then too
    log = Path(tempfile.gettempdir()) / f"polyclinic-vllm-{os.getpid()}.log"
    try:
        python = ensure()
        folder = models(python)
        adapters = {path.name: path for path in sorted(folder.iterdir()) if (path / "adapter_config.json").is_file()}
        print(f"== vllm serve {folder / 'model'}  (log: {log})", flush=True)
        with serving(python, folder / "model", adapters, log) as url:
            if arguments == ["--figures"]:
                print(f"== figures of {url}", flush=True)
                work = [sys.executable, str(HERE / "figures.py"), url]
            elif arguments[:1] == ["--evaluations"]:
                print(f"== evaluations on {url}", flush=True)
                work = [sys.executable, str(HERE / "evaluations.py"), url, *arguments[1:]]
            else:
                print(f"== pytest against {url}", flush=True)
                work = [sys.executable, "-m", "pytest", str(HERE), *arguments]
            done = subprocess.run(work, cwd=ROOT, env={**os.environ, "VLLM_TEST_URL": url}, check=False)
    except (CannotBuildError, CannotServeError) as error:
        print(f"no vLLM here: {error}", file=sys.stderr)
        return 2
    if done.returncode:
        print(f"== the end of the server's log, {log}\n{last_lines(log)}", file=sys.stderr)
    else:
        log.unlink()
    print(f"== {time.monotonic() - began:.0f} s in all")
    return done.returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
