"""What every arm is: somebody who answers samples. It answers none itself."""

from __future__ import annotations

from abc import ABC, abstractmethod
from pathlib import Path

from .outcomes import Said
from .sample import Sample


class Arm(ABC):
    """One way to answer. `identity` names all that could change what it says."""

    identity: str

    @abstractmethod
    async def answer(self, sample: Sample, folder: Path, *, root: Path) -> Said:
        """What it says; whatever it writes lies in `folder`, a sample's and epoch's own, below `root`."""
