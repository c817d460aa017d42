"""The form that a run is started from: widgets in, a spec as YAML out.

The form holds what one most often changes; everything else of a spec stands in the YAML, which can be edited.  What is
wrong with it the command itself says.
"""

from __future__ import annotations

from typing import Any

import streamlit as st

from probes import PROBES
from workbench.families import Family, families
from workbench.families.probe_sweep.spec import CONTROLS as ALL_CONTROLS
from workbench.families.probe_sweep.spec import EXPERIMENT
from workbench.views.choices import pick, pick_some, slide, switch, write

CONTROLS = tuple(each for each in ALL_CONTROLS if each != "control_task")  # which needs a column of types: by hand
_LABELS = {
    "bandit-steps": ["entropy", "arm", "best_arm", "reward", "regret", "step"],
    "grid-states": [
        "distance", "move", "optimal", "goal_right", "goal_below", "wall_left", "wall_right", "wall_up", "wall_down",
        "agent_row", "agent_column", "map", "plan",
    ],
}  # fmt: skip
# What a newcomer can start at once; the numbers keep each to some minutes on two cores.
TEMPLATES: dict[str, dict[str, Any]] = {
    "How uncertain the bandit agent is": {
        "source": {"kind": "bandit-steps", "rendering": "buttons", "episodes": 4, "horizon": 15, "completions": 6},
        "models": ["bandit-agent"], "sites": ["all"], "targets": ["entropy", "best_arm"],
        "probes": {"ridge-regression": None, "logistic": None}, "holdout": 0.25,
        "controls": ["majority", "shuffled"], "shuffles": 1, "resamples": 500,
    },
    "Distance to the goal in mazes": {
        "source": {"kind": "grid-states", "sizes": [7], "layouts": 8},
        "models": ["grid-agent"], "positions": ["pre", "post"], "sites": ["all"], "targets": ["distance"],
        "probes": {"ridge-regression": None}, "holdout": 0.25,
        "controls": ["majority", "shuffled"], "shuffles": 1, "resamples": 500,
    },
    "Where the goal lies in mazes": {
        "source": {"kind": "grid-states", "sizes": [7], "layouts": 8},
        "models": ["grid-agent"], "positions": ["pre", "post"], "sites": ["all"],
        "targets": ["goal_right", "goal_below", "wall_right"],
        "probes": {"logistic": None, "mass-mean": None}, "holdout": 0.25,
        "controls": ["majority", "shuffled"], "shuffles": 1, "resamples": 500,
    },
}  # fmt: skip
_PROBES = "probe sweep"


def chosen_spec() -> tuple[Family, dict[str, Any]]:
    """What is run, and the spec that the form says."""
    others = [name for name, family in families().items() if family.presets]
    left, right = st.columns(2)
    kind = pick("What to run", [_PROBES, *others], key="what", at=left)
    if kind == _PROBES:
        template = pick("Begin with", list(TEMPLATES), key="template", at=right)
        return families()[EXPERIMENT], _sweep(TEMPLATES[template], list(TEMPLATES).index(template))
    with right:
        return families()[kind], _preset(families()[kind])


def command_of(family: Family) -> list[str]:
    """What stands before the spec's file on the command line."""
    return ["run", *family.words.split(), "--spec"] if family.presets else [family.name]


def to_yaml(spec: dict[str, Any]) -> str:
    """A spec as a file that ``workbench`` reads.

    >>> to_yaml({"models": ["grid-agent"], "holdout": 0.25})
    'models: [grid-agent]\\nholdout: 0.25\\n'
    """
    import yaml

    return str(yaml.safe_dump(spec, sort_keys=False, default_flow_style=None, width=110, allow_unicode=True))


def _preset(family: Family) -> dict[str, Any]:
    """A family's preset and what is most often changed of it."""
    presets = family.presets
    names = list(presets)[::-1]  # smallest first
    preset = pick("Preset", names, key="preset", index=names.index("smoke") if "smoke" in names else 0)
    spec = presets[preset].model_dump(mode="json")
    first, second = st.columns(2)
    if "model" in spec:
        spec["model"] = write("Model", "model", placeholder=str(spec["model"]), at=first).strip() or spec["model"]
    if "seed" in spec:
        spec["seed"] = slide("Seed", 0, 20, "seed", at=second)
    return dict(spec)


def _sweep(template: dict[str, Any], number: int) -> dict[str, Any]:
    """The template with what the widgets say; each template has choices of its own."""
    spec, source = dict(template), dict(template["source"])
    first, second, third = st.columns(3)
    models = write("Models (names, folders or hub ids)", "models", placeholder=", ".join(template["models"]), at=first)
    spec["models"] = _several(models) or template["models"]
    sites = write("Layers or sites", "sites", placeholder="all, or 1, 3, or all.mlp_out", at=second)
    spec["sites"] = _several(sites) or template["sites"]
    spec["targets"] = pick_some(
        "Targets", _LABELS[source["kind"]], key=f"targets{number}", default=template["targets"], at=third
    )
    probes = pick_some("Probes", list(PROBES), key=f"probes{number}", default=list(template["probes"]), at=first)
    spec["probes"] = {name: template["probes"].get(name) for name in probes}
    spec["controls"] = pick_some("Controls", CONTROLS, key="controls", default=template["controls"], at=second)
    spec["seeds"] = list(range(slide("Seeds", 1, 5, "seeds", help="each fits everything once more", at=third)))
    numbers = {name: value for name, value in source.items() if isinstance(value, int)}
    for column, (name, value) in zip(st.columns(max(1, len(numbers))), numbers.items(), strict=False):
        shown = name.replace("_", " ").capitalize()
        source[name] = slide(shown, min(2, value), 4 * value, f"{name}{number}", value, at=column)
    spec["source"] = source
    if switch("Scores of each class too", "per_class", help="precision, recall and F1"):
        spec["per_class"] = True
    return spec


def _several(text: str) -> list[Any]:
    """Words between commas, numbers as such."""
    words = [word.strip() for word in text.split(",") if word.strip()]
    return [int(word) if word.isdecimal() else word for word in words]
