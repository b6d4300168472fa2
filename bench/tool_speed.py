"""Seconds and memory of each tool on real pictures: python bench/tool_speed.py --data DIR. It prints a table.

Each tool runs in a process of its own, one thread wide, on twelve pictures of its set: the first call with its imports
and its model, the median of the others, and the most memory the process ever held beyond what the imports of the same
process held before (`ru_maxrss`). Beside them stands what reading the pictures alone takes in the same process.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

PICTURES = 12
SETS = {
    "blood_cells": "blood_cells", "blood_smear_counts": "blood_cells", "brain_tumour": "brain_tumour",
    "chest_lungs": "pneumonia", "fluorescent_nuclei": "nuclei", "fundus_bright_lesions": "vessels_chase",
    "fundus_disc": "vessels_chase", "fundus_vessels": "vessels_chase", "fundus_vessels_net": "vessels_chase",
    "haemorrhage": "haemorrhage", "image_quality": "pneumonia", "lung_boxes": "pneumonia", "nuclei": "nuclei",
    "pneumonia": "pneumonia", "stained_cells": "nuclei",
}  # fmt: skip


def measured(name: str, data: Path) -> dict[str, float | str | int]:
    """What one tool takes, in this process."""
    from polyclinic.core.blobs import Blobs
    from polyclinic.core.errors import ToolRefusedError
    from polyclinic.evals.benchmarks.table import benchmark
    from polyclinic.tools.card import ImageArguments
    from polyclinic.tools.imaging.store import ImageStore
    from polyclinic.tools.registry import Toolbox

    tool = Toolbox().get(name)
    found = benchmark(SETS[name])
    samples = list(found.samples(found.at(data)))
    step = max(1, len(samples) // PICTURES)
    calls, reads, refused = [], [], 0
    with tempfile.TemporaryDirectory() as folder:
        store = ImageStore(Blobs(Path(folder)))
        taken = [
            store.take_in(sample.case.images[0], base=Path.cwd(), root=None, header_dates=False).image
            for sample in samples[::step][:PICTURES]
        ]
        for image in taken:
            began = time.perf_counter()
            store.open(str(image.blob))
            reads.append(time.perf_counter() - began)
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        for image in taken:
            arguments: ImageArguments = tool.arguments.model_validate({"image": image.blob})  # type: ignore[assignment]
            began = time.perf_counter()
            try:
                tool.run(arguments, store)
            except ToolRefusedError:
                refused += 1
            calls.append(time.perf_counter() - began)
        memory = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    return {
        "tool": name, "set": SETS[name], "refused": refused, "first": calls[0], "median": median(calls[1:]),
        "most": max(calls[1:]), "read": median(reads), "memory_mb": memory,
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--only", choices=list(SETS))
    parser.add_argument("--here", action="store_true", help="in this process, as JSON")
    given = parser.parse_args()
    if given.here:
        print(json.dumps(measured(given.only, given.data)))
        return
    print("| tool | pictures of | first call, s | median, s | most, s | reading alone, s | memory, MB | refused |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- |")
    one_thread = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    for name in [given.only] if given.only else SETS:
        command = [sys.executable, __file__, "--data", str(given.data), "--only", name, "--here"]
        done = subprocess.run(command, env=os.environ | one_thread, check=True, capture_output=True, text=True)
        one = json.loads(done.stdout)
        print(
            f"| `{name}` | {one['set']} | {one['first']:.2f} | {one['median']:.2f} | {one['most']:.2f} "
            f"| {one['read']:.3f} | {one['memory_mb']:.0f} | {one['refused']} of {PICTURES} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
