"""What the units of one internal-RL run share.  A unit may run in a process of its own, so it gets no more than this.

Only the process that opened the run folder writes rows; a unit returns its rows, and writes tensors and checkpoints
under names that no other unit uses.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workbench.errors import MissingExtraError
from workbench.families.internal_rl.spec import InternalRLSpec
from workbench.files import make_folder, write_bytes, write_json
from workbench.runs import load_run
from workbench.runs.tensors import tensor_bytes
from workbench.seeding import derive_seed

if TYPE_CHECKING:
    import pandas as pd
    import torch
    from torch import Tensor

    from workbench.models.sequence_model import SequenceModel
    from workbench.runs import RunRecord
    from workbench.worlds.pinpad.pinpad import Pinpad

__all__ = ["Job", "Report", "base_folder", "check_tensorboard"]

Report = Callable[[dict[str, float]], None]
_REPORT_SECONDS = 5.0


def base_folder(spec: InternalRLSpec, path: Path) -> str:
    """Where the base model is: in the run folder when the run trains it."""
    return str(path / "base") if spec.base == "train" else spec.base


def check_tensorboard(spec: InternalRLSpec) -> None:
    """Raises :class:`MissingExtraError` when event files are asked for and cannot be written."""
    import importlib.util

    if spec.tensorboard and importlib.util.find_spec("tensorboard") is None:
        raise MissingExtraError("tensorboard", "tensorboard")


class Job:
    """One run at work, as seen by a unit."""

    def __init__(self, spec: InternalRLSpec, path: Path) -> None:
        self.spec, self.path = spec, path

    @cached_property
    def model(self) -> SequenceModel:
        """The base model, frozen."""
        from workbench.models import load_model

        return load_model(base_folder(self.spec, self.path), device=self.spec.device)  # type: ignore[return-value]

    @property
    def world(self) -> Pinpad:
        """The rules of the worlds."""
        from workbench.worlds.pinpad.pinpad import Pinpad

        return Pinpad.of(self.model.world)

    @cached_property
    def record(self) -> RunRecord:
        """The run folder, for reading what finished units left."""
        return load_run(self.path)

    def seed(self, *parts: int | str) -> int:
        """A seed of the run's seed and ``parts``."""
        return derive_seed(self.spec.seed, "internal-rl", *parts)

    def generator(self, *parts: int | str) -> torch.Generator:
        """A generator on the model's device, seeded by :meth:`seed`."""
        import torch

        return torch.Generator(self.model.device).manual_seed(self.seed(*parts))

    def checkpoints(self, unit: str) -> Path:
        """Where a unit's training keeps its checkpoint."""
        return self.path / "checkpoints" / unit

    def rows(self, unit: str) -> pd.DataFrame:
        """The rows of a finished unit."""
        return self.record.read(unit)

    def save_tensors(self, name: str, tensors: dict[str, Tensor], metadata: dict[str, Any] | None = None) -> None:
        """Keep tensors as an artifact of the run."""
        write_bytes(self.path / "artifacts" / f"{name}.safetensors", tensor_bytes(tensors, metadata))

    def load_tensors(self, name: str) -> dict[str, Tensor]:
        """Tensors that a unit kept, on the model's device."""
        return {key: tensor.to(self.model.device) for key, tensor in self.record.load_tensors(name)[0].items()}

    def report(self, unit: str) -> Report:
        """Writes how far a unit's training is: ``progress/<unit>.json``, and TensorBoard's event files if asked for."""
        make_folder(self.path / "progress")
        writer, last = self._event_writer(unit), [0.0]

        def write(state: dict[str, float]) -> None:
            if time.monotonic() - last[0] < _REPORT_SECONDS and state.get("done", 0.0) < 1:
                return
            last[0] = time.monotonic()
            numbers = {name: float(v) for name, v in state.items() if isinstance(v, int | float)}
            write_json(self.path / "progress" / f"{unit}.json", numbers)
            for name in set(numbers) - {"step"} if writer else ():
                writer.add_scalar(name, numbers[name], int(numbers.get("step", 0)))
            if writer:
                writer.flush()

        return write

    def _event_writer(self, unit: str) -> Any:
        if not self.spec.tensorboard:
            return None
        check_tensorboard(self.spec)
        from torch.utils.tensorboard import SummaryWriter

        return SummaryWriter(str(self.path / "tensorboard" / unit))
