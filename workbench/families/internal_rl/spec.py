"""What an internal-RL run does."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic import Field, ValidationInfo, field_validator, model_validator

from workbench.errors import did_you_mean
from workbench.families.specs import Spec

if TYPE_CHECKING:
    from typing import Self

    from workbench.models.hooked_model import HookedModel

# What is learned by reinforcement, by the names of the tables, and the discovery that each starts from.
METHODS: dict[str, str | None] = {
    "internal RL": "frozen",
    "random codes": "frozen",
    "forced switching": "forced",
    "co-trained": "co-trained",
    "CompILE": "compile",
    "raw actions": None,
}
CONDITIONS = ("frozen", "forced", "co-trained", "compile")
RL_TASKS = ("held-out", "seen transitions")  # what is reinforced on

_VALID = {
    "methods": METHODS,
    "tasks": RL_TASKS,
    "co_trained_from": ("base", "untrained"),
    "gate": ("sampled", "learned"),
}


class InternalRLSpec(Spec):
    """One internal-RL run; the defaults are those of the preset ``cpu``."""

    base: str = Field("pinpad-base", description="shipped base model, a folder, or train: train one in the run folder")
    recipe: str = Field("cpu", description="preset of workbench train pinpad-base, for train and for the history")
    device: str | None = Field(None, description="default: CUDA when there is one")
    seeds: int = Field(3, ge=1, description="seeds of discovery and of reinforcement")
    baseline_seeds: int = Field(1, ge=1, description="seeds of the baselines, at most those of the method")
    jobs: int = Field(2, ge=1, description="steps computed at once, each in a process of one thread")
    tensorboard: bool = Field(False, description="write TensorBoard event files in the run folder")
    stop_at_gate: bool = Field(False, description="leave out reinforcement when a gate failed")

    episodes: int = Field(1000, ge=8, description="episodes that a number is measured on")
    held_out_episodes: int = Field(4000, ge=8, description="episodes of the uncontrolled model on the held-out task")

    probe_episodes: int = Field(600, ge=20, description="episodes that beliefs are probed in")
    folds: int = Field(3, ge=2, description="folds of the probes, never splitting an episode")
    history_tokens: int | None = Field(1_500_000, description="steps of the history's base; default the recipe's")
    history: tuple[float, ...] = Field((0.0, 0.1, 0.25, 0.5, 1.0), description="shares of training that are probed")

    rank: int = Field(16, ge=1, description="rank of the controllers")
    controller_tokens: int = Field(400_000, ge=1, description="steps of episodes that supervised controllers train on")
    controller_lr: float = Field(3e-3, gt=0)

    layer: int | None = Field(0, description="layer of the metacontroller; default that of the best held-out control")
    tokens: int = Field(2_600_000, ge=1, description="steps of episodes that a metacontroller trains on")
    batch: int = Field(64, ge=2, description="episodes in a step of training")
    lr: float = Field(3e-3, gt=0)
    weight_decay: float = Field(0.03, ge=0)
    alpha: float = Field(0.15, ge=0, description="weight of the codes' KL at the end")
    alpha_random: float = Field(1e-4, gt=0, description="the same while the gate is random")
    alpha_start: float = Field(1e-3, gt=0, description="the same when the switch takes over")
    alpha_peak: float = Field(0.17, gt=0, description="the same at its highest")
    peak_at: float = Field(0.55, ge=0, le=1, description="share of training at which it is highest")
    random_share: float = Field(0.31, ge=0, le=1, description="share of training with a random gate")
    random_rate: float = Field(0.2, gt=0, le=1, description="how often the random gate opens")
    gate: str = Field("sampled", description="the gate in training: sampled (shut or open) or learned (the paper's)")
    mirrored: bool = Field(True, description="the encoder reads a mirrored or turned image of each episode (paper: no)")
    begun_midway: float = Field(0.5, ge=0, le=1, description="share of episodes that begin in their midst (paper: 0)")
    code: int = Field(8, ge=1, description="numbers in a code")
    memory: int = Field(32, ge=1, description="width of the metacontroller's history and summary")
    hidden: int = Field(64, ge=1, description="width of its encoder and switch")
    hyper: int = Field(32, ge=1, description="hidden width of its hypernetwork")
    log_sigma: float = Field(-2.0, description="log standard deviation of codes at first")

    compose_scale: float = Field(4.0, gt=0, description="codes are also composed at this many times their length")

    segments: int = Field(4, ge=2, description="segments that CompILE cuts an episode into")
    co_trained_from: str = Field("base", description="base (a finetuning) or untrained (the paper's: no pretraining)")

    alphas: tuple[float, ...] = Field((0.03, 0.15, 0.5), description="weights of the rate-distortion curves")
    sweep_seeds: int = Field(1, ge=1, description="seeds of the rate-distortion curves")
    sweep_tokens: int = Field(300_000, ge=1, description="steps that each point trains on, from the shared start")

    methods: tuple[str, ...] = Field(tuple(METHODS), description="what is reinforced")
    tasks: tuple[str, ...] = Field(("held-out",), min_length=1, description="tasks: held-out, seen transitions")
    seen_length: int = Field(6, ge=2, description="subgoals of the task whose transitions were all seen")
    updates: int = Field(80, ge=1, description="updates of a policy")
    rl_batch: int = Field(2048, ge=2, description="episodes an update")
    rl_lr: float = Field(4e-3, gt=0, description="rate of a policy over codes")
    raw_lr: float = Field(1e-4, gt=0, description="rate of the model's own parameters, for raw actions")
    rl_epochs: int = Field(4, ge=1, description="steps of the optimiser on a batch of episodes")
    clip: float = Field(0.2, gt=0, lt=1, description="of the probability ratio")
    policy_width: int = Field(256, ge=1)
    policy_std: float = Field(3.0, gt=0, description="standard deviation of a policy's codes at first (paper: 1)")
    shown: int = Field(12, ge=1, description="episodes that are recorded for pictures")

    def load(self) -> HookedModel | None:
        """The base model; None when the run trains it."""
        from workbench.models.loading import load_model

        return None if self.base == "train" else load_model(self.base, device=self.device)

    @field_validator("methods", "tasks", "co_trained_from", "gate")
    @classmethod
    def _known(cls, value: Any, info: ValidationInfo) -> Any:
        valid = _VALID[str(info.field_name)]
        for each in (value,) if isinstance(value, str) else value:
            if each not in valid:
                raise ValueError(f"unknown {each!r}{did_you_mean(each, valid)}")
        return value

    @field_validator("history")
    @classmethod
    def _shares(cls, value: tuple[float, ...]) -> tuple[float, ...]:
        if not all(0 <= share <= 1 for share in value) or list(value) != sorted(value):
            raise ValueError("shares of training lie in 0 to 1, in rising order")
        return value

    @field_validator("alphas")
    @classmethod
    def _weights(cls, value: tuple[float, ...]) -> tuple[float, ...]:
        if any(alpha <= 0 for alpha in value):
            raise ValueError("weights of the KL are above 0")
        return value

    @model_validator(mode="after")
    def _fits(self) -> Self:
        for name, count in (("baseline_seeds", self.baseline_seeds), ("sweep_seeds", self.sweep_seeds)):
            if count > self.seeds:
                raise ValueError(f"{name}={count}: at most seeds={self.seeds}")
        if self.peak_at < self.random_share:
            raise ValueError(f"peak_at={self.peak_at} lies before the end of the random gate ({self.random_share})")
        return self

    def check(self) -> None:
        """Raise for a base model, recipe or device that is none."""
        from workbench.models.loading import check_options, check_reads
        from workbench.training.recipes import preset_of
        from workbench.worlds.pinpad.training.base import PRESETS

        check_options(device=self.device)
        preset_of(PRESETS, self.recipe)
        if self.base != "train":
            check_reads(self.base, "observations")

    @property
    def conditions(self) -> tuple[str, ...]:
        """The discoveries that the methods start from; the frozen one always, as alignment is about it."""
        needed = {METHODS[method] for method in self.methods}
        return tuple(name for name in CONDITIONS if name in needed or name == "frozen")


_CPU = InternalRLSpec()
PRESETS: dict[str, InternalRLSpec] = {
    "gpu": _CPU.model_copy(update={
        "jobs": 1, "seeds": 5, "baseline_seeds": 5, "sweep_seeds": 3, "episodes": 4000, "held_out_episodes": 100_000,
        "tokens": 20_000_000, "batch": 256, "sweep_tokens": 8_000_000,
        "alphas": (0.003, 0.01, 0.05, 0.1, 0.17, 0.3, 1.0), "tasks": RL_TASKS,
        "controller_tokens": 4_000_000, "updates": 1000, "rl_lr": 1e-4, "history_tokens": None,
    }),
    "paper": _CPU.model_copy(update={
        "base": "train", "recipe": "gpu", "jobs": 1, "seeds": 3, "baseline_seeds": 3, "sweep_seeds": 3, "layer": 2,
        "episodes": 4000, "held_out_episodes": 1_000_000, "tokens": 1_000_000_000, "batch": 512, "lr": 1e-3,
        "gate": "learned", "mirrored": False, "begun_midway": 0.0, "random_share": 0.0, "peak_at": 0.0, "alpha": 0.17,
        "log_sigma": 0.0,
        "sweep_tokens": 1_000_000_000,
        "alphas": (0.05, 0.1, 0.17, 0.3, 0.5, 1.0), "controller_tokens": 200_000_000, "updates": 100_000, "rl_lr": 3e-5,
        "policy_std": 1.0, "rl_batch": 1024, "rl_epochs": 4, "raw_lr": 3e-5,
        "co_trained_from": "untrained", "history_tokens": None,
    }),
    "cpu": _CPU,
    "smoke": _CPU.model_copy(update={
        "base": "train", "recipe": "smoke", "device": "cpu", "seeds": 2, "baseline_seeds": 1, "jobs": 1, "episodes": 64,
        "held_out_episodes": 128, "probe_episodes": 60, "folds": 2, "history": (0.0, 1.0), "history_tokens": 10_000,
        "controller_tokens": 10_000, "rank": 4, "layer": 0, "tokens": 16_000, "batch": 32, "memory": 8, "hidden": 16,
        "hyper": 8, "code": 4, "alphas": (0.05, 0.5), "sweep_tokens": 4_000, "updates": 2, "rl_batch": 32,
        "rl_epochs": 2, "policy_width": 16, "tasks": RL_TASKS, "shown": 2, "seen_length": 4,
    }),
}  # fmt: skip
