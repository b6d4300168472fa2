"""What evaluations cost and survive: python bench/evals.py scale | kills, against the controlled double of a server.

scale    SAMPLES samples by the team at CONCURRENCY; the ideal is that every sample takes its four calls in a row and
         nothing else, CONCURRENCY of them side by side.
kills    a run of SAMPLES samples that is killed (SIGKILL) KILLS times at random moments must end with the rows of one
         that was left alone; the double counts the calls, and the traces tell whether a decision stands there twice.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

from double import DoubleConfig, serving

from polyclinic.evals.logs import rows_of
from polyclinic.evals.run import RUNS

CALLS_IN_A_ROW = 4  # triage, a specialist's two turns, the attending


def write_records(folder: Path, count: int) -> Path:
    """So many invented records in PubMedQA's format."""
    records = {
        str(1000 + number): {
            "QUESTION": f"Does treatment number {number} lower the blood pressure?",
            "CONTEXTS": [f"Blood pressure was {'not ' if number % 4 == 0 else ''}lower with treatment {number}."],
            "final_decision": "no" if number % 4 == 0 else "yes",
        }
        for number in range(count)
    }
    path = folder / "pubmedqa" / "pqal_dev.json"
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps(records))
    return folder


def command(data: Path, out: Path, url: str, concurrency: int) -> list[str]:
    program = str(Path(sys.executable).with_name("polyclinic"))
    return [
        program, "eval", "run", "pubmedqa", "--data", str(data), "--out", str(out), "--arm", "team",
        "--engine", url, "--concurrency", str(concurrency),
    ]  # fmt: skip


def scale(samples: int, concurrency: int, latency_s: float) -> None:
    """The seconds of a run beside the ideal; the start of the program is measured apart, by a run of one sample."""
    config = DoubleConfig(latency_s=latency_s, team=("cardiology", "pulmonology", "radiology"))
    with tempfile.TemporaryDirectory() as folder, serving(config) as double:
        data = write_records(Path(folder) / "data", samples)
        seconds: dict[int, float] = {}
        for limit in (1, samples):
            started = time.perf_counter()
            subprocess.run(
                [*command(data, Path(folder) / f"out{limit}", double.url, concurrency), "--limit", str(limit)],
                check=True, capture_output=True,
            )  # fmt: skip
            seconds[limit] = time.perf_counter() - started
        rows = rows_of([Path(folder) / f"out{samples}"])
    one = CALLS_IN_A_ROW * latency_s
    ideal = math.ceil(samples / concurrency) * one
    start = seconds[1] - one
    whole = seconds[samples]
    print(f"{samples} samples, {concurrency} at once, {latency_s:g} s a call, {Counter(row.outcome for row in rows)}")
    print(f"ideal {ideal:.1f} s; run {whole:.1f} s, {whole / ideal:.3f} x ideal; start of the program {start:.1f} s")
    print(f"without the start {whole - start:.1f} s, {(whole - start) / ideal:.3f} x ideal")


def timed(arguments: list[str]) -> float:
    """The seconds that a command takes."""
    started = time.perf_counter()
    subprocess.run(arguments, check=True, capture_output=True)
    return time.perf_counter() - started


def unpriced(folder: Path) -> list[dict[str, Any]]:
    """Rows without what differs between two runs of the same: seconds, and the names of folders."""
    return [row.model_dump(exclude={"said": {"seconds", "trace"}}) for row in rows_of([folder])]


def kills(samples: int, concurrency: int, latency_s: float, times: int, seed: int) -> None:
    """One run left alone and one killed; prints what differs."""
    config = DoubleConfig(latency_s=latency_s, team=("cardiology", "pulmonology"))
    moments = random.Random(seed)  # noqa: S311 - no secret
    with tempfile.TemporaryDirectory() as folder, serving(config) as double:
        data = write_records(Path(folder) / "data", samples)
        whole, killed = Path(folder) / "whole", Path(folder) / "killed"
        one = [*command(data, Path(folder) / "one", double.url, concurrency), "--limit", "1"]
        start, seconds = timed(one), timed(command(data, whole, double.url, concurrency))
        asked_alone = len(double.log()) - CALLS_IN_A_ROW - (len(config.team) - 1) * 2
        double.reset()
        done = 0
        while done < times:
            child = subprocess.Popen(
                command(data, killed, double.url, concurrency), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
            )
            time.sleep(start + moments.uniform(-0.5, 2.0) * (seconds - start) / times)
            if child.poll() is not None:
                break
            os.kill(child.pid, signal.SIGKILL)
            child.wait()
            done += 1
            finished = len(list((killed / RUNS).glob("*/*/*/*/report.json")))
            print(f"killed {done} times; {finished} samples done", flush=True)
        subprocess.run(command(data, killed, double.url, concurrency), check=True, capture_output=True)
        asked = len(double.log())
        same = unpriced(killed) == unpriced(whole)
        names = [(row.sample, row.epoch) for row in rows_of([killed])]
        keys = Counter(
            (str(path.parent.parent.name), json.loads(line)["key"])
            for path in (killed / RUNS).glob("*/*/*/*/trace.jsonl")
            for line in path.read_text().splitlines()
            if json.loads(line)["key"]
        )
    most_in_flight = done * concurrency * len(config.team)
    print(
        f"{samples} samples, killed {done} times: the same rows: {same}; samples twice: {len(names) - len(set(names))}"
    )
    print(f"calls: {asked_alone} alone, {asked} with kills, {asked - asked_alone} asked again (in flight at most "
          f"{most_in_flight}); decisions recorded twice: {sum(count > 1 for count in keys.values())}")  # fmt: skip
    if not same or any(count > 1 for count in keys.values()) or asked - asked_alone > most_in_flight:
        sys.exit(1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["scale", "kills"])
    parser.add_argument("--samples", type=int)
    parser.add_argument("--concurrency", type=int)
    parser.add_argument("--latency", type=float, help="seconds a call takes")
    parser.add_argument("--kills", type=int, default=30)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    if given.what == "scale":
        scale(given.samples or 1000, given.concurrency or 64, given.latency or 2.0)
    else:
        kills(given.samples or 500, given.concurrency or 16, given.latency or 0.2, given.kills, given.seed)


if __name__ == "__main__":
    main()
