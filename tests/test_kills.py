"""kill -9 at every record boundary and at random instants: the run finishes, nothing is repeated, the chain holds."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

RANDOM_KILLS = 150


def test_a_run_survives_two_hundred_kills(tmp_path: Path) -> None:
    campaign = Path(__file__).with_name("kills.py")
    done = subprocess.run(
        [sys.executable, campaign, tmp_path, str(RANDOM_KILLS)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]
    seen = json.loads(done.stdout)
    assert seen["at_records"] == 3 * seen["records"]
    assert seen["at_records"] + seen["at_random"] >= 200
