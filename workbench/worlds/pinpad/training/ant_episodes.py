"""Episodes of the ant pinpad: who walks, what is recorded, how it is kept.

A walker is a function of the environment that gives torques, so that an expert may see what the base model does not
(the way to the next colour).  The trained expert is a small tanh network in a safetensors file; playing it needs NumPy
only, training it stable-baselines3 (:mod:`workbench.worlds.pinpad.training.ant_expert`).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from workbench.errors import ArtifactError, DataError
from workbench.files import read_object, replacing
from workbench.seeding import derive_seed
from workbench.worlds.pinpad.ant_pinpad import AntPinpad
from workbench.worlds.pinpad.ant_walk import walk_observation
from workbench.worlds.pinpad.ant_world import AntWorld

Walker = Callable[["AntPinpad"], np.ndarray]

WEIGHTS, FACTS = "expert.safetensors", "expert.json"
_POLICY = "policy."  # of the weights in an expert's file


def random_torques(env: AntPinpad) -> np.ndarray:
    """Uniform torques, a function of the episode's seed and the time."""
    return np.random.default_rng([env.episode_seed or 0, env.time]).uniform(-1, 1, 8)


@dataclass(frozen=True)
class AntExpert:
    """The trained walker without its noise: ``layers`` are the weights and biases of a tanh network."""

    layers: tuple[tuple[np.ndarray, np.ndarray], ...]
    world: AntWorld

    @classmethod
    def load(cls, folder: Path) -> AntExpert:
        """The expert in a folder of ``workbench train ant-expert``; :class:`ArtifactError` when there is none."""
        from safetensors.numpy import load_file

        facts = read_object(folder / FACTS, ArtifactError)
        try:
            weights = load_file(folder / WEIGHTS)
            hidden = sorted(n for n in weights if n.startswith(f"{_POLICY}mlp_extractor.policy_net.") and "weight" in n)
            names = [name.removesuffix(".weight") for name in (*hidden, f"{_POLICY}action_net.weight")]
            layers = tuple((weights[f"{name}.weight"], weights[f"{name}.bias"]) for name in names)
            return cls(layers, AntWorld.of(facts["world"]))
        except Exception as error:  # a broken file, or another's: the library raises many kinds
            raise ArtifactError(f"{folder} holds no ant expert that can be read: {error}") from None

    def __call__(self, env: AntPinpad) -> np.ndarray:
        return self.torques(walk_observation(env.body.data.qpos, env.body.data.qvel, env.direction))

    def torques(self, sensed: Float[np.ndarray, "28"]) -> Float[np.ndarray, "8"]:
        """The mean of the policy, within the motors' range."""
        x = sensed
        for weight, bias in self.layers[:-1]:
            x = np.tanh(weight @ x + bias)
        weight, bias = self.layers[-1]
        return (weight @ x + bias).clip(-1, 1)


@dataclass(frozen=True)
class AntEpisodes:
    """Recorded episodes, padded to the longest with zeros.

    ``observations`` [batch, time + 1, size], before each action and after the last; ``actions`` [batch, time, 8], as
    the motors got them; ``targets`` [batch, time], the colour that was next; ``lengths``, ``success`` [batch];
    ``tasks`` [batch, length].
    """

    observations: Float[Tensor, "batch steps size"]
    actions: Float[Tensor, "batch time torques"]
    targets: Int[Tensor, "batch time"]
    lengths: Int[Tensor, " batch"]
    success: Bool[Tensor, " batch"]
    tasks: Int[Tensor, "batch length"]
    world: AntWorld

    @property
    def mask(self) -> Bool[Tensor, "batch time"]:
        """True at steps that were taken."""
        return torch.arange(self.actions.shape[1], device=self.actions.device) < self.lengths[:, None]

    def __len__(self) -> int:
        return len(self.lengths)

    def __getitem__(self, rows: Tensor | slice) -> AntEpisodes:
        """Some of the episodes, padded to the longest of them."""
        lengths = self.lengths[rows]
        time = int(lengths.max())
        return AntEpisodes(
            self.observations[rows, : time + 1], self.actions[rows, :time], self.targets[rows, :time], lengths,
            self.success[rows], self.tasks[rows], self.world,
        )  # fmt: skip

    def to(self, device: Any) -> AntEpisodes:
        """The same episodes on a device."""
        return _episodes([getattr(self, name).to(device) for name in _TENSORS], self.world)

    @staticmethod
    def join(parts: Sequence[AntEpisodes]) -> AntEpisodes:
        """All episodes of all parts; :class:`DataError` when they are not of one world and length of task."""
        if not parts or any(p.world != parts[0].world or p.tasks.shape[1:] != parts[0].tasks.shape[1:] for p in parts):
            raise DataError("only episodes of one world, on tasks of one length, can be joined")
        whole = []
        for name in _TENSORS:
            rows = [row for part in parts for row in getattr(part, name)]
            whole.append(torch.stack(rows) if rows[0].ndim == 0 else pad_sequence(rows, batch_first=True))
        return _episodes(whole, parts[0].world)

    def save(self, path: Path) -> None:
        """Write one safetensors file, whole or not at all."""
        from safetensors.torch import save_file

        tensors = {name: getattr(self, name).cpu().contiguous() for name in _TENSORS}
        with replacing(path) as temporary:
            save_file(tensors, temporary, metadata={"world": json.dumps(asdict(self.world))})

    @staticmethod
    def load(path: Path) -> AntEpisodes:
        """Read what :meth:`save` wrote; :class:`ArtifactError` for anything else."""
        from safetensors import safe_open

        try:
            with safe_open(path, framework="pt") as file:
                world = AntWorld.of(json.loads(file.metadata()["world"]))
                return _episodes([file.get_tensor(name) for name in _TENSORS], world)
        except Exception as error:  # a broken file, or another's: the library raises many kinds
            raise ArtifactError(f"{path} holds no ant episodes that can be read: {error}") from None


_TENSORS = [each.name for each in fields(AntEpisodes) if each.name != "world"]


def record_episodes(
    world: AntWorld,
    walker: Walker,
    n: int,
    seed: int = 0,
    task: str | Sequence[int] = "pretraining",
    solvable: bool = False,
) -> AntEpisodes:
    """``n`` episodes; that of number i depends on the seed and i only.  Needs the extra ``mujoco``."""
    if n < 1:
        raise DataError(f"cannot record {n} episodes: give at least 1")
    env = AntPinpad(world, task, solvable)
    parts = []
    for number in range(n):
        seen, info = env.reset(seed=derive_seed(seed, "ant episode", number))
        observations, actions, targets = [seen], [], []
        while not info["ended"]:
            action = np.asarray(walker(env), dtype=np.float32).clip(-1, 1)
            targets.append(info["target"])
            actions.append(action)
            seen, _, _, _, info = env.step(action)
            observations.append(seen)
        arrays = (np.stack(observations), np.stack(actions), np.array(targets), np.array(len(actions)))
        tensors = [torch.from_numpy(each)[None] for each in arrays]
        parts.append(_episodes([*tensors, torch.tensor([env.success]), torch.tensor([env.task])], world))
    env.close()
    return AntEpisodes.join(parts)


def _episodes(tensors: Sequence[Tensor], world: AntWorld) -> AntEpisodes:
    given: dict[str, Any] = dict(zip(_TENSORS, tensors, strict=True))
    return AntEpisodes(**given, world=world)
