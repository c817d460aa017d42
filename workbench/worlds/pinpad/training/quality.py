"""How well a pinpad base model predicts the expert, beside the exact Bayes filter, and what it does by itself."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from workbench.models.sequence_model import SequenceModel
from workbench.seeding import derive_seed
from workbench.statistics import Interval, cluster_bootstrap, wilson
from workbench.worlds.pinpad.beliefs import bayes_filter
from workbench.worlds.pinpad.expert import Episodes, expert_episodes
from workbench.worlds.pinpad.pinpad import Pinpad, begin, draw_layouts, step
from workbench.worlds.pinpad.play import play_pinpad
from workbench.worlds.pinpad.tasks import held_out_task, pretraining_tasks

CARD = Path(__file__).with_name("card.md").read_text(encoding="utf-8")
CARD_ROWS = ("player", "task")


def measure_quality(model: SequenceModel, episodes: int = 2_000, progress: bool = False) -> pd.DataFrame:
    """Nats a move on the expert's episodes, accuracy of the belief about the next colour, and success in play.

    Players: the model (uncontrolled), the exact Bayes filter (the best that any predictor can do), a random player and
    the expert.  Columns ``player, task, measure, estimate, low, high`` (95%, over episodes).  ``progress`` is for
    interface's sake: it takes seconds.
    """
    world = Pinpad.of(model.world)
    tasks = pretraining_tasks(world)
    generator = torch.Generator(model.device).manual_seed(derive_seed("pinpad quality") % 2**63)
    watched = expert_episodes(world, tasks, episodes, generator)
    beliefs = bayes_filter(watched, tasks)
    right = (beliefs.colours.argmax(-1) == watched.targets).float()
    rows = [
        _row("model", "pretraining", "nll", _by_episode(_nll(model, watched), watched.mask)),
        _row("Bayes filter", "pretraining", "nll", _by_episode(beliefs.nll, watched.mask)),
        _row("Bayes filter", "pretraining", "belief accuracy", _by_episode(right, watched.mask)),
        _row("expert", "pretraining", "success", wilson(int(watched.success.sum()), episodes)),
    ]
    for name, task in (("pretraining", tasks), ("held-out", held_out_task(world)[None])):
        task = task.to(model.device)
        picked = torch.randint(len(task), (episodes,), generator=generator, device=model.device)
        state = begin(world, draw_layouts(world, episodes, generator), task[picked])
        success = int(play_pinpad(model, state, generator).episodes.success.sum())
        rows.append(_row("model", name, "success", wilson(success, episodes)))
        while not bool(state.done.all()):
            state, _ = step(world, state, torch.randint(4, (episodes,), generator=generator, device=model.device))
        rows.append(_row("random", name, "success", wilson(int(state.success.sum()), episodes)))
    return pd.DataFrame(rows)


def _nll(model: SequenceModel, episodes: Episodes) -> Tensor:
    """Nats on each of the expert's moves [batch, time]."""
    with torch.no_grad():
        logits = model.backend.forward(episodes.observations[:, :-1])
    assert logits is not None
    return torch.nn.functional.cross_entropy(logits.float().transpose(1, 2), episodes.moves, reduction="none")


def _by_episode(values: Tensor, mask: Tensor) -> Interval:
    """The mean over all moves, its interval over episodes."""
    rows = np.nonzero(mask.cpu().numpy())[0]
    return cluster_bootstrap(values[mask].double().cpu().numpy(), rows)


def _row(player: str, task: str, measure: str, interval: Interval) -> dict[str, Any]:
    return {"player": player, "task": task, "measure": measure} | vars(interval)
