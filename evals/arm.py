"""What every arm is: somebody who answers samples. It answers none itself."""

from __future__ import annotations

from abc import ABC, abstractmethod
from pathlib import Path

from .outcomes import Said
from .sample import Sample

ASKS = "; "


class Arm(ABC):
    """One way to answer. `identity` names all that could change what it says, in full once it is prepared; what stands
    before ASKS in it is the engine it asks."""

    identity: str

    async def prepare(self) -> None:  # noqa: B027 - most arms have nothing to prepare
        """Find out who answers. Raises SetupError where nobody would."""

    @abstractmethod
    async def answer(self, sample: Sample, folder: Path, *, root: Path) -> Said:
        """What it says; whatever it writes lies in `folder`, a sample's and epoch's own, below `root`."""
