"""What the steps of one run share: the spec, the run folder with what earlier steps left in it, the model."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from workbench.seeding import derive_seed

if TYPE_CHECKING:
    import pandas as pd

    from workbench.runs import RunRecord

Log = Callable[[str], None]
Last = Callable[["RunRecord"], object]
S = TypeVar("S")


class Context(Generic[S]):
    """One run at work.  A family that shares more (the probed states, say) subclasses it with cached properties.

    Args:
        spec: the family's spec.
        folder: the open :class:`workbench.runs.RunFolder`; in a step's own process, its :class:`RunRecord`.
        model: the loaded model, for specs that name one; else None.
        progress: whether long steps draw progress bars.

    ``saved``: file names of the artifacts that a step in its own process wrote.
    """

    def __init__(self, spec: S, folder: Any, model: Any = None, progress: bool = False) -> None:
        self.spec, self.folder, self.model, self.progress = spec, folder, model, progress
        self.saved: list[str] = []

    def gather(self, kind: str, but: tuple[str, ...] = ()) -> pd.DataFrame:
        """The rows of the finished steps called ``kind``, or whose names begin with ``kind``-, except those that begin
        with one of ``but``.

        A table without rows or columns when there is none.
        """
        import pandas as pd

        names = [name for name in self.folder.steps() if f"{name}-".startswith(f"{kind}-") and not name.startswith(but)]
        frames = [self.folder.read(name) for name in names]
        return pd.concat(frames, ignore_index=True) if frames else pd.DataFrame()

    def seed(self, *parts: int | str) -> int:
        """A seed that depends on the run's and on ``parts``."""
        return derive_seed(self.spec.seed, *parts)  # type: ignore[attr-defined]
