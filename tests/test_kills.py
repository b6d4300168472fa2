"""kill -9 at every write to the trace and at random instants: the run finishes, nothing repeated, the chain holds."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

RANDOM_KILLS = 160


def test_a_run_survives_two_hundred_kills(tmp_path: Path) -> None:
    campaign = Path(__file__).with_name("kills.py")
    done = subprocess.run(
        [sys.executable, campaign, tmp_path, str(RANDOM_KILLS)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]
    seen = json.loads(done.stdout)
    assert seen["at_writes"] == 3 * seen["writes"] >= 3 * 14  # opening, decisions and report; spans go along with them
    assert seen["at_writes"] + seen["at_random"] >= 200
