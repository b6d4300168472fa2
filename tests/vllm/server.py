"""A vLLM server on this machine's own address, for as long as a `with` block runs.

It knows the flags that make start-up short on two cores; not which model is served, nor what is asked of it.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import time
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

MODEL = "tiny"
CONTEXT = 16384  # tokens, the model's own
IMAGES = 4  # in one prompt
AT_ONCE = 4  # requests; few, so that a dozen cases queue in the server and their priority counts

# Otherwise a random model fills its budget with blanks between JSON tokens; so can a real one.
GRAMMAR = {"backend": "xgrammar", "disable_any_whitespace": True}


class CannotServeError(Exception):
    """The server did not come up; holds the last lines of its log."""


@contextmanager
def serving(
    python: Path, model: Path, adapters: Mapping[str, Path], log: Path, *, start_timeout_s: float = 300
) -> Iterator[str]:
    """The server's address (`http://127.0.0.1:PORT`) once it is healthy; every process of it is gone afterwards."""
    port = _free_port()
    url = f"http://127.0.0.1:{port}"
    with log.open("wb") as sink:
        server = subprocess.Popen(
            _command(python, model, adapters, port),
            env=_environment(),
            stdin=subprocess.DEVNULL,
            stdout=sink,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # a process group of its own, so that the engine's children can be ended with it
        )
        try:
            _wait_until_healthy(server, url, log, start_timeout_s)
            yield url
        finally:
            _end(server)


def _command(python: Path, model: Path, adapters: Mapping[str, Path], port: int) -> list[str]:
    command = [
        str(python), str(python.with_name("vllm")), "serve", str(model),
        "--served-model-name", MODEL, "--host", "127.0.0.1", "--port", str(port),
        "--dtype", "bfloat16", "--max-model-len", str(CONTEXT), "--enforce-eager",
        "--block-size", "32",  # the smallest on the CPU: prefixes are reused in steps of 32 tokens instead of 128
        "--limit-mm-per-prompt", json.dumps({"image": IMAGES}), "--skip-mm-profiling",
        "--structured-outputs-config", json.dumps(GRAMMAR),
        "--scheduling-policy", "priority", "--enable-prompt-tokens-details",
        "--max-num-seqs", str(AT_ONCE),
        # vLLM 0.32 on the CPU dies ("CPU Generator does not use offset") of a prompt that is read in parts by a request
        # with a seed and a temperature above 0.
        "--no-enable-chunked-prefill", "--max-num-batched-tokens", str(CONTEXT),
    ]  # fmt: skip
    if adapters:
        named = [f"{name}={path}" for name, path in adapters.items()]
        command += ["--enable-lora", "--max-lora-rank", "8", "--max-loras", str(len(named)), "--lora-modules", *named]
    return command


def _environment() -> dict[str, str]:
    ours = {name: value for name, value in os.environ.items() if name not in {"PYTHONPATH", "PYTHONDONTWRITEBYTECODE"}}
    return ours | {
        "HF_HUB_OFFLINE": "1",
        "TORCHDYNAMO_DISABLE": "1",  # the first log-probabilities would otherwise wait 18 s for a C++ compiler
        "VLLM_CPU_KVCACHE_SPACE": "1",  # GiB
        "VLLM_NO_USAGE_STATS": "1",
    }


def _wait_until_healthy(server: subprocess.Popen[bytes], url: str, log: Path, timeout_s: float) -> None:
    began = said = time.monotonic()
    while True:
        if server.poll() is not None:
            raise CannotServeError(f"vllm serve ended with exit status {server.returncode}\n{last_lines(log)}")
        with suppress(OSError), urllib.request.urlopen(f"{url}/health", timeout=5):  # noqa: S310  # our own
            print(f"   healthy after {time.monotonic() - began:.1f} s", flush=True)
            return
        now = time.monotonic()
        if now - began > timeout_s:
            raise CannotServeError(f"vllm serve was not healthy within {timeout_s:.0f} s\n{last_lines(log)}")
        if now - said > 10:
            said = now
            print(f"   {now - began:.0f} s: {last_lines(log, 1)[:140]}", flush=True)
        time.sleep(0.25)


def _end(server: subprocess.Popen[bytes]) -> None:
    # vLLM leaves requests in flight unanswered and then waits for them on SIGTERM, hence the short patience.
    with suppress(ProcessLookupError):
        os.killpg(server.pid, signal.SIGTERM)
        with suppress(subprocess.TimeoutExpired):
            server.wait(timeout=10)
    with suppress(ProcessLookupError):
        os.killpg(server.pid, signal.SIGKILL)
    server.wait()


def last_lines(log: Path, count: int = 40) -> str:
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
    return "\n".join([line for line in lines if line.strip() and "Route:" not in line][-count:])


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
