"""The recipe of ``ant-expert``: PPO (stable-baselines3) on walking the way to the next colour.

The reward is the velocity along the way (see ``ant_walk``); tasks, walls and endings are those of the ant pinpad, so
the expert also learns not to fall and not to stray.  What is kept is the policy's weights, its optimiser's state and a
JSON of facts, so a stopped training goes on from its last checkpoint (in fresh episodes: the physics of those under way
is not kept).
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from workbench.errors import MissingExtraError, RunError
from workbench.files import make_folder, read_object, replacing, write_json
from workbench.seeding import derive_seed
from workbench.training.recipes import preset_of
from workbench.worlds.pinpad.ant_pinpad import TASKS, AntPinpad
from workbench.worlds.pinpad.ant_walk import AntWalk
from workbench.worlds.pinpad.ant_world import AntWorld
from workbench.worlds.pinpad.training.ant_episodes import FACTS, WEIGHTS, AntExpert, record_episodes

NAME = "ant-expert"


@dataclass(frozen=True)
class Recipe:
    """``steps`` of the environment in all, on ``envs`` environments (each in a process of its own where there is more
    than one); PPO's numbers; ``episodes`` a task that the finished expert is judged on."""

    world: AntWorld = field(default_factory=AntWorld)
    steps: int = 50_000_000
    envs: int = 32
    rollout: int = 512
    batch: int = 4096
    epochs: int = 5
    lr: float = 3e-4
    width: int = 256
    log_sigma: float = -1.0
    episodes: int = 500
    checkpoint_seconds: float = 60.0


PRESETS: dict[str, Recipe] = {
    "smoke": Recipe(steps=512, envs=1, rollout=128, batch=64, epochs=2, width=32, episodes=2),
    "cpu": Recipe(steps=3_000_000, envs=2, rollout=1024, batch=512, episodes=100),
    "gpu": Recipe(),
}


def train(
    out: Path,
    preset: str = "gpu",
    seed: int = 0,
    device: str | None = None,
    tokens: int | None = None,
    report: Callable[[dict[str, float]], None] | None = None,
) -> dict[str, Any]:
    """Train, save the expert in ``out`` and return how it does.  Goes on from a checkpoint by itself.

    ``tokens`` replaces the preset's steps.  ``report`` gets the share done and, as ``loss``, minus the mean velocity
    along the way (m/s).  Raises :class:`MissingExtraError` without the extra ``mujoco``.
    """
    if find_spec("stable_baselines3") is None:
        raise MissingExtraError("stable-baselines3", "mujoco")
    recipe: Recipe = preset_of(PRESETS, preset)
    steps = tokens or recipe.steps
    make_folder(out / "checkpoints" / NAME)
    identity = {"model": NAME, "preset": preset, "seed": seed, "steps": steps, "world": asdict(recipe.world)}
    model = _new_ppo(recipe, seed, device or "cpu")  # a network this small is faster on the CPU
    keeper = _Keeper(model, out / "checkpoints" / NAME, identity)
    if keeper.resume():
        model.set_random_seed(derive_seed(seed, NAME, model.num_timesteps) % 2**31)  # not the same episodes again
    model.learn(
        steps - model.num_timesteps, callback=_callback(recipe, keeper, steps, report), reset_num_timesteps=False
    )
    model.get_env().close()
    for folder in (keeper.folder, out):
        keeper.save(folder)
    expert = AntExpert.load(out)
    return {
        "preset": preset,
        "seed": seed,
        "parameters": sum(p.numel() for p in model.policy.parameters()),
        "steps": model.num_timesteps,
        "seconds": round(keeper.seconds),
        **{f"success_{task}": success_of(expert, task, recipe.episodes, seed) for task in TASKS},
    }


def success_of(expert: AntExpert, task: str, episodes: int, seed: int) -> float:
    """Share of episodes in which the task is completed, layouts that cannot be solved among them (as in the paper)."""
    played = record_episodes(expert.world, expert, episodes, derive_seed(seed, NAME, "evaluation"), task)
    return float(played.success.float().mean())


def _new_env(world: AntWorld) -> Any:
    return AntWalk(AntPinpad(world))


def _new_ppo(recipe: Recipe, seed: int, device: str) -> Any:
    from stable_baselines3 import PPO
    from stable_baselines3.common.vec_env import DummyVecEnv, SubprocVecEnv, VecMonitor

    makers: list[Callable[[], Any]] = [partial(_new_env, recipe.world)] * recipe.envs
    envs = SubprocVecEnv(makers, start_method="spawn") if recipe.envs > 1 else DummyVecEnv(makers)
    shape = {"net_arch": [recipe.width] * 2, "log_std_init": recipe.log_sigma}
    return PPO(
        "MlpPolicy", VecMonitor(envs), n_steps=recipe.rollout, batch_size=recipe.batch, n_epochs=recipe.epochs,
        learning_rate=lambda left: recipe.lr * max(left, 0.1), policy_kwargs=shape, device=device,
        seed=derive_seed(seed, NAME) % 2**31,
    )  # fmt: skip


class _Keeper:
    """Writes and reads checkpoints: weights and Adam's moments in safetensors, the rest in JSON."""

    def __init__(self, model: Any, folder: Path, identity: dict[str, Any]) -> None:
        self.model, self.folder, self.identity = model, folder, identity
        self.seconds, self._since = 0.0, time.monotonic()

    def save(self, folder: Path) -> None:
        """The weights first: a kill in between leaves older facts beside newer weights, which only trains longer."""
        from safetensors.torch import save_file

        self.seconds += time.monotonic() - self._since
        self._since = time.monotonic()
        policy = self.model.policy
        tensors = {f"policy.{name}": value.detach().cpu().clone() for name, value in policy.state_dict().items()}
        for index, state in policy.optimizer.state_dict()["state"].items():
            tensors |= {f"adam.{index}.{key}": value.detach().cpu().clone() for key, value in state.items()}
        with replacing(folder / WEIGHTS) as temporary:
            save_file(tensors, temporary)
        facts = {"num_timesteps": self.model.num_timesteps, "seconds": round(self.seconds, 1)}
        write_json(folder / FACTS, self.identity | facts)

    def resume(self) -> bool:
        """Go on from the checkpoint in the folder, if there is one; :class:`RunError` when it is another's."""
        from safetensors.torch import load_file

        if not (self.folder / FACTS).exists():
            return False
        facts = read_object(self.folder / FACTS)
        if any(facts.get(key) != value for key, value in self.identity.items()):
            raise RunError(
                f"{self.folder} holds a checkpoint of another preset or seed: choose another --out or delete it"
            )
        tensors, policy = load_file(self.folder / WEIGHTS), self.model.policy
        policy.load_state_dict({n.removeprefix("policy."): t for n, t in tensors.items() if n.startswith("policy.")})
        whole = policy.optimizer.state_dict()
        for name, tensor in tensors.items():
            if name.startswith("adam."):
                _, index, key = name.split(".", 2)
                whole["state"].setdefault(int(index), {})[key] = tensor
        policy.optimizer.load_state_dict(whole)
        self.model.num_timesteps, self.seconds = int(facts["num_timesteps"]), float(facts["seconds"])
        return True


def _callback(recipe: Recipe, keeper: _Keeper, steps: int, report: Callable[[dict[str, float]], None] | None) -> Any:
    from stable_baselines3.common.callbacks import BaseCallback

    class Watch(BaseCallback):
        """Reports and keeps a checkpoint after every rollout that is due."""

        saved = time.monotonic()

        def _on_step(self) -> bool:
            return True

        def _on_rollout_end(self) -> None:
            done = self.num_timesteps
            if time.monotonic() - self.saved > recipe.checkpoint_seconds:
                keeper.save(keeper.folder)
                self.saved = time.monotonic()
            if report:
                seconds = keeper.seconds + time.monotonic() - keeper._since
                speed = float(keeper.model.rollout_buffer.rewards.mean())
                state = {"step": done, "tokens": done, "seconds": seconds, "loss": -speed}
                report(state | {"done": min(1.0, done / steps)})

    return Watch()
