"""``workbench train MODEL``."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import tyro

from workbench.console import log, option, results, show_progress
from workbench.errors import ModelError, RunError, SpecError, check_known
from workbench.training import Recipe
from workbench.views.tables import new_table
from workbench.worlds import get_recipe, recipes

Report = Callable[[dict[str, float]], None]


def _known() -> str:
    return "; ".join(f"{recipe.name}: {recipe.summary}" for recipe in recipes().values())


def train(
    model: tyro.conf.Positional[Annotated[str, option(_known(), "MODEL")]],
    preset: Annotated[str, option("smoke, cpu (under an hour on two cores) or gpu")] = "cpu",
    seed: Annotated[int, option("of the weights and the data")] = 0,
    data: Annotated[str | None, option("a name for the data it learns from, for a model that has several")] = None,
    out: Annotated[Path | None, option("default ./checkpoints/MODEL-PRESET", "DIR")] = None,
    device: Annotated[str | None, option("default: CUDA when there is one")] = None,
    no_progress: Annotated[bool, option("lines instead of a progress bar")] = False,
) -> None:
    """Train a shipped model from scratch and save it as a Hugging Face folder.

    Stopped at any moment, the same command goes on from the last checkpoint (one a minute).  At the end the model plays
    what it was not trained on, beside every oracle, and the result stands in its model card (README.md).
    """
    recipe = get_recipe(model)
    check_known(preset, recipe.load().PRESETS, "preset")
    _check_device(device)
    chosen = _data(recipe, data)
    folder = "-".join([model, *chosen.values(), preset])
    out = (out or Path("checkpoints") / folder).expanduser()
    if out.exists() and not out.is_dir():
        raise RunError(f"{out} is a file, not a folder: choose another --out")
    resumes = any(out.glob("checkpoints/*/checkpoint.safetensors"))
    log(f"{'going on from the checkpoint' if resumes else 'training'} in {out}")
    with _watching(show_progress(not no_progress)) as report:
        facts = recipe.load().train(out, preset, seed=seed, device=device, report=report, **chosen)
    if preset != "smoke" and recipe.ships:  # whose models cannot write an answer yet
        _measure(recipe, out, facts, show_progress(not no_progress))
    table = new_table(f"{model}, preset {preset}", "measure", "value")
    for key, value in facts.items():
        table.add_row(key, _shown(value))
    results().print(table)
    results().print(f"model: {out}; use it with workbench run ... --model {out}", markup=False, soft_wrap=True)


def _measure(recipe: Recipe, out: Path, facts: dict[str, Any], progress: bool) -> None:
    """Measure the model beside every oracle and write its card."""
    from workbench.models import load_model
    from workbench.training.cards import write_card

    log("measuring quality on what was held out, beside every oracle")
    measure = recipe.measure()
    write_card(out, measure.CARD, facts, measure.measure_quality(load_model(out), progress=progress), measure.CARD_ROWS)


def _data(recipe: Recipe, data: str | None) -> dict[str, str]:
    """The option ``data`` as an argument of the recipe, when it was given."""
    if data is None:
        return {}
    if not recipe.data:
        raise SpecError(f"{recipe.name} has one data set: leave out --data")
    if not re.fullmatch(r"[A-Za-z0-9_-]+", data):
        raise SpecError(f"--data {data!r} must be a name of letters, digits, - and _")
    return {"data": data}


def _check_device(device: str | None) -> None:
    import torch

    try:
        kind = torch.device(device or "cpu").type
    except RuntimeError:
        raise SpecError(f"unknown device {device!r}: write cpu, cuda or cuda:0") from None
    if kind == "cuda" and not torch.cuda.is_available():
        raise ModelError("this machine has no CUDA device that torch can use: write --device cpu")


@contextmanager
def _watching(bar: bool) -> Iterator[Report]:
    """What reports are shown with: a bar on a terminal, else a line at each twentieth."""
    if not bar:
        yield _lines()
        return
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
    with Progress(*columns) as progress:
        task = progress.add_task("training", total=1.0)
        yield lambda state: progress.update(task, completed=state["done"], description=_state(state))


def _lines() -> Report:
    shown = -1

    def report(state: dict[str, float]) -> None:
        nonlocal shown
        if int(20 * state["done"]) > shown:
            shown = int(20 * state["done"])
            log(f"{state['done']:4.0%}  {_state(state)}")

    return report


def _state(state: dict[str, float]) -> str:
    rate = state["tokens"] / max(state["seconds"], 1e-9)
    return f"step {state['step']:.0f}, loss {state['loss']:.3f}, {rate:,.0f} tokens/s"


def _shown(value: Any) -> str:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return str(value)
    return f"{value:,}" if isinstance(value, int) else f"{value:,.4g}"
