"""Accuracy of the embedded engine on PubMedQA beside the majority class, with Wilson intervals and the seconds it took.

python bench/pubmedqa.py --data ../shared/data/pubmedqa/pqal_dev.json [--limit N] [--concurrency 8]
"""

from __future__ import annotations

import argparse
import asyncio
import math
import tempfile
import time
from collections import Counter
from pathlib import Path

from polyclinic import Clinic, Report
from polyclinic.evals.benchmarks.pubmedqa import OPTIONS, samples
from polyclinic.evals.sample import Letter, Sample


async def answers(clinic: Clinic, items: list[Sample], concurrency: int) -> list[Report]:
    """The reports, in the order of the samples."""
    slots = asyncio.Semaphore(concurrency)

    async def one(sample: Sample) -> Report:
        async with slots:
            return await clinic.consult(sample.case)

    return await asyncio.gather(*map(one, items))


def wilson(right: int, n: int, z: float = 1.96) -> tuple[float, float]:
    """The Wilson score interval of a share (Wilson 1927)."""
    share, spread = right / n, z * z / n
    centre = (share + spread / 2) / (1 + spread)
    half = z * math.sqrt(share * (1 - share) / n + spread / (4 * n)) / (1 + spread)
    return centre - half, centre + half


def right_letter(sample: Sample) -> str:
    """The letter of the right option."""
    assert isinstance(sample.target, Letter)
    return sample.target.letter


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--limit", type=int)
    parser.add_argument("--concurrency", type=int, default=8)
    arguments = parser.parse_args()
    items = list(samples(arguments.data))[: arguments.limit]
    with tempfile.TemporaryDirectory() as runs:
        start = time.perf_counter()
        reports = asyncio.run(answers(Clinic(runs=runs), items, arguments.concurrency))
        seconds = time.perf_counter() - start
    outcomes = Counter(
        "right" if report.option == right_letter(sample) else report.status if report.option is None else "wrong"
        for report, sample in zip(reports, items, strict=True)
    )
    targets = Counter(map(right_letter, items))
    majority, count = targets.most_common(1)[0]
    n = len(items)
    for name, right in (("embedded engine", outcomes["right"]), (f"always {OPTIONS[majority]!r}", count)):
        low, high = wilson(right, n)
        print(f"{name:<18} accuracy {right / n:.3f}  95% interval {low:.3f} to {high:.3f}  n = {n}")
    print(f"outcomes {dict(outcomes)}; gold {dict(targets)}; {seconds:.1f} s, {1000 * seconds / n:.0f} ms per case")
    table = Counter(
        (OPTIONS[right_letter(sample)], OPTIONS[report.option] if report.option else report.status)
        for report, sample in zip(reports, items, strict=True)
    )
    for (gold, said), number in sorted(table.items()):
        print(f"  gold {gold:<6} said {said:<10} {number}")


if __name__ == "__main__":
    main()
