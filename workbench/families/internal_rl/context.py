"""What the steps of one internal-RL run share.  A step may run in a process of its own, so it gets no more than this.

Only the process that opened the run folder writes rows; a step returns its rows, and writes tensors and checkpoints
under names that no other step uses.
"""

from __future__ import annotations

import importlib.util
import time
from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workbench.errors import MissingExtraError
from workbench.families import Context
from workbench.families.internal_rl.spec import InternalRLSpec
from workbench.files import make_folder, write_bytes, write_json
from workbench.models import load_model
from workbench.runs.tensors import tensor_bytes

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from workbench.models.sequence_model import SequenceModel
    from workbench.worlds.pinpad.pinpad import Pinpad

Report = Callable[[dict[str, float]], None]
_REPORT_SECONDS = 5.0


def check(spec: InternalRLSpec, model: object = None) -> None:
    """Raises :class:`MissingExtraError` when TensorBoard's event files are asked for and cannot be written."""
    if spec.tensorboard and importlib.util.find_spec("tensorboard") is None:
        raise MissingExtraError("tensorboard", "tensorboard")


class InternalRLRun(Context[InternalRLSpec]):
    """One run at work, as seen by a step."""

    @property
    def base_folder(self) -> str:
        """Where the base model is: in the run folder when the run trains it."""
        return str(self.folder.path / "base") if self.spec.base == "train" else self.spec.base

    @cached_property
    def base(self) -> SequenceModel:
        """The base model, frozen."""
        return self.model or load_model(self.base_folder, device=self.spec.device)  # type: ignore[return-value]

    @property
    def world(self) -> Pinpad:
        """The rules of the worlds."""
        from workbench.worlds.pinpad.pinpad import Pinpad

        return Pinpad.of(self.base.world)

    def seed(self, *parts: int | str) -> int:
        """A seed of the run's seed and ``parts``."""
        return super().seed("internal-rl", *parts)

    def generator(self, *parts: int | str) -> torch.Generator:
        """A generator on the model's device, seeded by :meth:`seed`."""
        import torch

        return torch.Generator(self.base.device).manual_seed(self.seed(*parts))

    def checkpoints(self, step: str) -> Path:
        """Where a step's training keeps its checkpoint."""
        path: Path = self.folder.path / "checkpoints" / step
        return path

    def save_tensors(self, name: str, tensors: dict[str, Tensor], metadata: dict[str, Any] | None = None) -> None:
        """Keep tensors as an artifact of the run."""
        file = f"{name}.safetensors"
        write_bytes(self.folder.path / "artifacts" / file, tensor_bytes(tensors, metadata))
        self.saved.append(file)

    def load_tensors(self, name: str) -> dict[str, Tensor]:
        """Tensors that a step kept, on the model's device."""
        return {key: tensor.to(self.base.device) for key, tensor in self.folder.load_tensors(name)[0].items()}

    def report(self, step: str) -> Report:
        """Writes how far a step's training is: ``progress/<step>.json``, and TensorBoard's event files if asked for."""
        folder = self.folder.path / "progress"
        make_folder(folder)
        writer, last = self._event_writer(step), [0.0]

        def write(state: dict[str, float]) -> None:
            if time.monotonic() - last[0] < _REPORT_SECONDS and state.get("done", 0.0) < 1:
                return
            last[0] = time.monotonic()
            numbers = {name: float(v) for name, v in state.items() if isinstance(v, int | float)}
            write_json(folder / f"{step}.json", numbers)
            for name in set(numbers) - {"step"} if writer else ():
                writer.add_scalar(name, numbers[name], int(numbers.get("step", 0)))
            if writer:
                writer.flush()

        return write

    def _event_writer(self, step: str) -> Any:
        if not self.spec.tensorboard:
            return None
        check(self.spec)
        from torch.utils.tensorboard import SummaryWriter

        return SummaryWriter(str(self.folder.path / "tensorboard" / step))
