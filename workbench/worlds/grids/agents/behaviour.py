"""How an agent behaves in grids: accuracy, success, path length, entropy, divergence from the optimum, calibration.

The input is the table of steps that :func:`~workbench.worlds.grids.play_grids` writes, a column ``player`` added where
several players are put side by side (the agent, a random one, an optimal one), and the layouts with their labels.
Measures are those of arXiv 2602.08964; intervals resample whole layouts.  Result tables are tidy: one row for each
player, group and metric.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pandas as pd

from workbench.errors import DataError
from workbench.statistics import Interval, cluster_bootstrap
from workbench.worlds.episode_table import need_columns
from workbench.worlds.grids.agents.play import episodes_of
from workbench.worlds.grids.agents.states import calibration_error, visited_states
from workbench.worlds.grids.layouts import Layout

# metric -> what it is; those of states and steps also exist by distance to the goal
METRICS: dict[str, str] = {
    "accuracy": "share of steps in A*, mean over trajectories, then over layouts",
    "accuracy_pooled": "share of steps in A*, all steps alike",
    "success": "share of trajectories that reach the goal within the cap",
    "spl": "success weighted by optimal length / length",
    "valid": "share of steps with a readable move",
    "outside_mass": "the model's probability of answering what is no move, mean over steps (exact agents)",
    "entropy": "entropy (nats) of pi_hat, mean over visited states",
    "jsd": "Jensen-Shannon divergence (bits) of pi_hat and pi*, mean over visited states",
    "ece": "expected calibration error, ten bins over visited states",
}


def grid_behaviour(
    steps: pd.DataFrame,
    layouts: Sequence[Layout],
    by: Sequence[str] = ("size", "density"),
    labels: pd.DataFrame | None = None,
    exact: bool = False,
    resamples: int = 2000,
    seed: int = 0,
) -> pd.DataFrame:
    """Every metric of :data:`METRICS` for each player and group of layouts, with 95% cluster-bootstrap intervals.

    ``by`` names columns of the steps that are the same throughout a layout, or of ``labels``, whose row i (or the row
    with this number as ``layout``) describes layout i.  ``exact`` measures the recorded probabilities of moves where
    the policy is asked for, not their frequencies.  Columns: ``player`` (``agent`` where the steps name none), ``by``,
    ``metric``, ``estimate``, ``low``, ``high``, and ``n`` layouts.  A group without readable moves has no rows for the
    measures of states.  Raises :class:`DataError` for labels that do not fit.
    """
    steps, labels = _labelled(steps, layouts, by, labels)
    keys = ["player", *by]
    episodes = episodes_of(steps, layouts).join(labels, on="layout")
    states = visited_states(steps, layouts, exact).join(labels, on="layout")
    means = ["accuracy", "success", "spl", "valid"]
    per_layout = episodes.groupby([*keys, "layout"], sort=True)[means].mean().reset_index()
    measures = [(name, per_layout, _mean_of(name, resamples, seed)) for name in means]
    measures += [("accuracy_pooled", steps, _mean_of("optimal", resamples, seed)), *_of_states(states, resamples, seed)]
    if "outside_mass" in steps:  # older runs do not say
        scored = steps.dropna(subset=["outside_mass"])
        measures.append(("outside_mass", scored, _mean_of("outside_mass", resamples, seed)))
    return _table(measures, keys, list(METRICS))


def behaviour_by_distance(
    steps: pd.DataFrame,
    layouts: Sequence[Layout],
    by: Sequence[str] = (),
    labels: pd.DataFrame | None = None,
    exact: bool = False,
    resamples: int = 2000,
    seed: int = 0,
) -> pd.DataFrame:
    """Pooled accuracy, validity, entropy, divergence and calibration error by ``distance`` to the goal.

    Arguments and columns as for :func:`grid_behaviour`, with the column ``distance`` after ``by``.
    """
    steps, labels = _labelled(steps, layouts, by, labels)
    keys = ["player", *by, "distance"]
    states = visited_states(steps, layouts, exact).join(labels, on="layout")
    of_steps = {"accuracy_pooled": "optimal", "valid": "valid"}
    measures = [(name, steps, _mean_of(column, resamples, seed)) for name, column in of_steps.items()]
    return _table([*measures, *_of_states(states, resamples, seed)], keys, list(METRICS))


_Measure = Callable[["pd.DataFrame"], Interval]


def _mean_of(column: str, resamples: int, seed: int) -> _Measure:
    return lambda part: cluster_bootstrap(part[column].astype(float), part["layout"], resamples=resamples, seed=seed)


def _of_states(states: pd.DataFrame, resamples: int, seed: int) -> list[tuple[str, pd.DataFrame, _Measure]]:
    def error(part: pd.DataFrame) -> Interval:
        return calibration_error(part["confidence"], part["correct"], part["layout"], resamples=resamples, seed=seed)

    means: list[tuple[str, pd.DataFrame, _Measure]] = [
        (name, states, _mean_of(name, resamples, seed)) for name in ("entropy", "jsd")
    ]
    return [*means, ("ece", states, error)]


def _table(measures: Sequence[tuple[str, pd.DataFrame, _Measure]], keys: list[str], order: list[str]) -> pd.DataFrame:
    """The intervals of each measure in each group of its own table, groups first, metrics in ``order``."""
    rows = []
    for name, table, measure in measures:
        for key, part in table.groupby(keys, sort=True, dropna=False):
            interval = vars(measure(part))
            rows.append(
                dict(zip(keys, key, strict=True)) | {"metric": name} | interval | {"n": part["layout"].nunique()}
            )
    result = pd.DataFrame(rows, columns=[*keys, "metric", "estimate", "low", "high", "n"])
    place = {name: i for i, name in enumerate(order)}
    first = result.assign(_place=result["metric"].map(place)).sort_values([*keys, "_place"], kind="stable")
    return first.drop(columns="_place").reset_index(drop=True)


def _labelled(
    steps: pd.DataFrame, layouts: Sequence[Layout], by: Sequence[str], labels: pd.DataFrame | None
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The steps with a player and the columns ``by``; and these columns by layout."""
    if isinstance(by, str):
        raise DataError(f"by={by!r} is text: give a list of columns, [{by!r}]")
    need_columns(steps, ["layout", "rollout", "step", "distance", "move", "optimal", "valid"], "grid behaviour")
    if steps.empty or int(steps["layout"].max()) >= len(layouts):
        raise DataError("the steps are empty, or name a layout that is not among those given")
    known = steps if "player" in steps else steps.assign(player="agent")
    asked = [name for name in by if name not in known]
    if asked and labels is not None:
        need_columns(labels, asked, "the labels of the layouts")
        known = known.join(labels.set_index("layout" if "layout" in labels else labels.index)[asked], on="layout")
    need_columns(known, list(by), "grid behaviour")
    pairs = known[["layout", *by]].drop_duplicates()
    twice = pairs["layout"][pairs["layout"].duplicated()]
    if len(twice) or pairs[list(by)].isna().to_numpy().any():
        where = f"layout {twice.iloc[0]} has several values" if len(twice) else "some layouts have no value"
        raise DataError(f"{where} in the columns {list(by)}: group by what describes whole layouts")
    return known, pairs.set_index("layout")
