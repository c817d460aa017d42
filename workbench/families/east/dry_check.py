"""Before a long run: can this model's answers be read?  A few prompts say so, and what else would be better."""

from __future__ import annotations

from typing import Any

import pandas as pd

from workbench.errors import DataError
from workbench.families.east.collect import agent_for
from workbench.families.east.equal_draws import HALF
from workbench.families.east.spec import EastSpec
from workbench.models.language_model import LanguageModel
from workbench.seeding import derive_seed
from workbench.worlds.bandits.agents.rollout import rollout
from workbench.worlds.bandits.answers import FORMS
from workbench.worlds.bandits.arms import GaussianArms

STEPS, COMPLETIONS = 3, 4


def check(spec: EastSpec, model: LanguageModel | None) -> None:
    """Play the first steps of an episode or two, where there is a model.

    Raises :class:`DataError`, with what to change, where less than half of the answers can be read (in exact mode: less
    than half of the probability lies on the arms).
    """
    if model is None or not spec.dry_check:
        return
    rows = _ask(model, spec)
    if rows["valid"].mean() >= HALF:
        return
    raise DataError(f"{_seen(model, spec, rows)} {_advice(model, spec)}; dry_check=False (--no-dry-check) runs anyway")


def _ask(model: LanguageModel, spec: EastSpec) -> pd.DataFrame:
    """One row a prompt: ``valid``, and what was ``said``."""
    episodes = max(1, 2 // len(spec.renderings))
    seeds = [derive_seed(spec.seed, "east", "check", k) for k in range(episodes)]
    tables = []
    for rendering in spec.renderings:
        agent = agent_for(model, spec, rendering, COMPLETIONS)
        played = rollout(agent, GaussianArms(spec.extraction_means), seeds, horizon=STEPS)
        for part in (played.steps, played.failures.assign(valid=0.0)):
            if len(part):
                tables.append(part[["valid", "completion"]].rename(columns={"completion": "said"}))
    return pd.concat(tables, ignore_index=True)


def _seen(model: LanguageModel, spec: EastSpec, rows: pd.DataFrame) -> str:
    said = " ".join(str(rows.loc[rows["valid"].idxmin(), "said"]).split())[:60]
    if spec.exact:
        return f"{model.name}: {1 - rows['valid'].mean():.0%} of the probability of an answer lies on none of the arms."
    return f"{model.name}: {rows['valid'].mean():.0%} of the answers can be read; unreadable for instance {said!r}."


def _advice(model: LanguageModel, spec: EastSpec) -> str:
    """The ways to read the arms off the model, the best first, by the probability that they leave outside."""
    ways: dict[str, dict[str, Any]] = {"exact, no thoughts": {"thoughts": False}}
    if spec.told == "turns":
        ways = {f"exact, no thoughts, answer {form}": {"thoughts": False, "answer": form} for form in FORMS}
    if spec.thoughts and not spec.exact:
        ways |= {"exact, with the thoughts": {}}
    outside = {}
    for name, changes in ways.items():
        other = spec.model_copy(update={"exact": True, "prefill": None} | changes)
        if not (spec.exact and other.text("buttons") == spec.text("buttons")):
            outside[name] = float(1 - _ask(model, other)["valid"].mean())
    listed = "; ".join(f"{name}: {outside[name]:.0%}" for name in sorted(outside, key=outside.__getitem__))
    return f"Take another form of answer (outside of the arms then: {listed})"
