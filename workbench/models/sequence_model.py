"""``SequenceModel``: a small sequence model that acts.

Its inputs are observations, one row (of integers, or of numbers) a step; everything that reads or steers any
:class:`workbench.models.HookedModel` (``forward``, ``capture``, interventions, artifacts that carry a fingerprint)
takes it.  It has no tokens: in place of sampling and scoring text it plays episodes, step by step.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.distributions import Distribution
from torch.nn.utils.rnn import pad_sequence

from workbench.errors import DataError, ModelError
from workbench.models import inputs
from workbench.models.hf import HuggingFaceBackend
from workbench.models.hooked_model import HookedModel
from workbench.models.recurrent import RecurrentCache

if TYPE_CHECKING:
    from workbench.models.sequence import SequenceCache


class SequenceModel(HookedModel):
    """A sequence model that can be read and steered.  Made by :func:`workbench.models.load_model`.

    A prompt is the observations of an episode so far, integers [pos, fields] or, where the config's ``observation`` is
    ``vector``, numbers [pos, observation_size] (array, tensor or nested lists).

    >>> from workbench.models.tiny import tiny_sequence_model
    >>> model = tiny_sequence_model()
    >>> forward = model.forward([[[0, 1]] * 5, [[2, 0]] * 3], sites=[1], logits=True)
    >>> {str(site): tuple(x.shape) for site, x in forward.activations.items()}, tuple(forward.logits.shape)
    ({'blocks.1.hook_resid_post': (2, 5, 16)}, (2, 5, 4))
    """

    reads = "observations"

    def __init__(self, hf_model: Any, name: str) -> None:
        super().__init__(HuggingFaceBackend(hf_model), name)

    @property
    def world(self) -> dict[str, Any]:
        """What its folder says of the world that it was trained in, for that world to read (as ``Pinpad.of`` does);
        :class:`ModelError` when it says nothing."""
        if not self.config.world:
            raise ModelError(f"{self.name} does not say which world it was trained in: its config has no 'world'")
        return self.config.world

    def cache(self, length: int | None = None) -> SequenceCache | RecurrentCache:
        """An empty cache for stepping through episodes of up to ``length`` steps (default: the longest it knows)."""
        return self.backend.hf_model.new_cache(length or self.config.max_position_embeddings)

    def encode(self, prompt: Any) -> Any:
        """Observations as a tensor [pos, fields or size]; :class:`DataError` for what does not fit the model."""
        rows = torch.as_tensor(prompt)
        if self.config.observation == "vector":
            return self._vectors(rows)
        sizes = torch.tensor(self.config.field_sizes, device=rows.device)
        if rows.ndim != 2 or rows.shape[1] != len(sizes) or not len(rows):
            raise DataError(f"{self.name} reads observations of shape [pos, {len(sizes)}] and got {tuple(rows.shape)}")
        if rows.is_floating_point() or bool(_outside(rows, sizes)):
            raise DataError(f"{self.name}: an observation is out of range: field i is an integer below field_sizes[i]")
        return rows

    def _vectors(self, rows: Tensor) -> Tensor:
        size = self.config.observation_size
        if rows.ndim != 2 or rows.shape[1] != size or not len(rows):
            raise DataError(f"{self.name} reads observations of shape [pos, {size}] and got {tuple(rows.shape)}")
        rows = rows.float()
        if not bool(rows.isfinite().all()):
            raise DataError(f"{self.name}: an observation is not finite")
        return rows

    def encode_all(self, prompts: Sequence[Any], what: str = "episode", first: int = 0) -> list[Any]:
        """Each episode as :meth:`encode` gives it."""
        return inputs.each(self.encode, inputs.items(prompts, what), what, first)

    def _pad(self, rows: Sequence[Any]) -> Tensor:
        return pad_sequence(list(rows), batch_first=True).to(self.device)

    def step(
        self,
        observations: torch.Tensor,
        cache: SequenceCache | RecurrentCache,
        hooks: Any = None,
        stop_after: int | None = None,
    ) -> torch.Tensor | None:
        """Action logits [batch, n_actions] of one more observation [batch, fields or size] of each episode."""
        logits = self.backend.forward(observations[:, None], cache=cache, hooks=hooks, stop_after=stop_after)
        return None if logits is None else logits[:, 0]

    def action_distribution(self, logits: torch.Tensor) -> Distribution:
        """What actions are drawn from, given their logits [..., values]: categorical or Gaussian."""
        return self.backend.hf_model.action_distribution(logits)


def _outside(rows: Tensor, sizes: Tensor) -> Tensor:
    """Whether any field [pos, fields] is not in 0 to its size; a tensor on the device of both."""
    return ((rows < 0) | (rows >= sizes)).any()
