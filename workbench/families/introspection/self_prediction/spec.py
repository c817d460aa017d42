"""What a self-prediction run does."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar, Literal

from pydantic import Field, ValidationInfo, field_validator

from probes import PROBES
from workbench.errors import check_known
from workbench.families.specs import Layer, ModelSpec

COPY = "copy"  # the candidate that is made in the run
Direction = Literal["forward", "backward"]


def is_babbler(model: str) -> bool:
    """Whether a model is one of the project's own that know the babblers' tasks and nothing else, by its name.

    >>> is_babbler("babbler-a"), is_babbler("runs/train/babbler-a-cpu"), is_babbler("gpt2")
    (True, True, False)
    """
    return Path(model).name.startswith("babbler")


class SelfPredictionSpec(ModelSpec):
    """One self-prediction run; the defaults are the paper's sizes (its ``gpu`` preset)."""

    world: ClassVar[str] = "questions"
    sized: ClassVar[tuple[str, ...]] = (
        "train_prompts",
        "test_prompts",
        "copy_pairs",
        "shift_pairs",
        "calibration_prompts",
        "probe_prompts",
    )

    model: str = Field("babbler-a", description="M1: shipped model, Hugging Face folder or hub id")
    candidates: tuple[str, ...] = Field(
        ("babbler-b", COPY), validate_default=True,
        description="for M2, of which the most similar is taken; to be named where model is no babbler; copy: M1"
        " lightly finetuned on the first one's answers",
    )  # fmt: skip
    seconds: int = Field(1, ge=1, description="how many candidates, the most similar first, are cross-trained")
    directions: tuple[Direction, ...] = Field(
        ("forward", "backward"), description="forward: M1 is predicted; backward: M2 is, by itself and by M1"
    )

    tasks: tuple[str, ...] | None = Field(None, description="default all that ship (or are in tasks_path)")
    tasks_path: str | None = Field(
        None,
        description="folder with tasks of your own; default: the babblers' or, for all others, those for chat models",
    )
    shots: int = Field(2, ge=0, description="of a task's worked examples, how many are shown before a question")
    train_prompts: int = Field(1000, ge=1, description="prompts a training task; each is asked once a property")
    test_prompts: int = Field(300, ge=2, description="prompts a task, of training and of held-out tasks, for testing")
    max_new_tokens: int = Field(16, ge=1, description="most tokens of an answer to a hypothetical question")

    rank: int = Field(32, ge=1, description="of the LoRA adapters")
    alpha: int = Field(32, ge=1, description="alpha / rank scales the adapters")
    lr: float = Field(2e-5, gt=0)
    batch: int = Field(16, ge=1)
    epochs: int = Field(1, ge=1)
    targets: str | tuple[str, ...] = Field("all-linear", description="modules that get adapters")
    copy_pairs: int = Field(300, ge=1, description="answers of the first candidate that the copy is finetuned on")
    shift_pairs: int = Field(1000, ge=0, description="answers of another model that M1 is finetuned on; 0: no shift")
    object_lr: float | None = Field(None, gt=0, description="learning rate of copy and shift; default lr")

    samples: int = Field(20, ge=0, description="answers a prompt at temperature 1, for calibration; 0: none")
    calibration_prompts: int = Field(200, ge=1, description="test prompts a task that are sampled")
    bins: int = Field(10, ge=2, description="equal-frequency bins of the calibration")

    probe: str = Field("ridge", description="classifier on the activations at the hypothetical prompt; none: no probes")
    probe_prompts: int = Field(500, ge=2, description="training prompts a task that are probed")
    layers: tuple[Layer, ...] | None = Field(
        None, description="layers that are probed, by number or share of depth (0.5: half way); default all"
    )
    folds: int = Field(5, ge=2)

    def task_folder(self) -> Path:
        """Where the tasks are."""
        from workbench.worlds.questions.tasks import CHAT, SHIPPED

        if self.tasks_path is not None:
            return Path(self.tasks_path).expanduser()
        return SHIPPED if is_babbler(self.model) else CHAT

    @field_validator("probe")
    @classmethod
    def _known_probe(cls, value: str) -> str:
        known = ["none", *(name for name in PROBES if "regression" not in name)]
        check_known(value, known, "probe")
        return value

    @field_validator("candidates")
    @classmethod
    def _another(cls, value: tuple[str, ...], info: ValidationInfo) -> tuple[str, ...]:
        if not [name for name in value if name != COPY]:
            raise ValueError("name at least one other model: the copy and the shift learn from its answers")
        model = info.data.get("model", "")
        if (toys := [name for name in value if is_babbler(name)]) and not is_babbler(model):
            raise ValueError(
                f"{toys[0]} is a toy beside {model}: name a second model, as in candidates OTHER-MODEL copy"
            )
        if model in value:
            raise ValueError(f"{model!r} is M1 already: a candidate is another model")
        return value

    @field_validator("seconds")
    @classmethod
    def _enough(cls, value: int, info: ValidationInfo) -> int:
        if "candidates" in info.data and value > len(info.data["candidates"]):
            raise ValueError(f"there are {len(info.data['candidates'])} candidates")
        return value

    @field_validator("candidates", "directions", "tasks", "layers")
    @classmethod
    def _some(cls, value: tuple[object, ...] | None) -> tuple[object, ...] | None:
        if value is not None and not value:
            raise ValueError("name at least one")
        return value


PRESETS: dict[str, SelfPredictionSpec] = {
    "gpu": SelfPredictionSpec(),
    "cpu": SelfPredictionSpec(
        seconds=2, train_prompts=600, test_prompts=150, rank=16, alpha=32, lr=2e-3, epochs=2, copy_pairs=450,
        object_lr=1e-3, calibration_prompts=60, probe_prompts=300,
    ),
    "laptop": SelfPredictionSpec(
        minutes=15, train_prompts=600, test_prompts=150, rank=16, alpha=32, lr=2e-3, epochs=2, copy_pairs=450,
        object_lr=1e-3, calibration_prompts=60, probe_prompts=300, layers=(0.3, 0.5, 0.7),
    ),
    "smoke": SelfPredictionSpec(
        train_prompts=8, test_prompts=8, rank=4, alpha=8, lr=2e-3, batch=8, copy_pairs=16, shift_pairs=16,
        samples=4, calibration_prompts=4, bins=4, probe_prompts=8, layers=(1,), folds=2,
    ),
}  # fmt: skip
