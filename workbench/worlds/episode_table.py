"""The tidy table of bandit episodes: putting its rows in order and reading what it says of the arms.

:mod:`workbench.worlds.bandits.agents.behaviour` says which columns the table has.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float

from workbench.errors import DataError, SpecError, did_you_mean

Columns = Sequence[str]


def order_episodes(table: pd.DataFrame, by: Columns) -> pd.DataFrame:
    """The table sorted by episode and step, with ``_episode`` (a number) and ``_t``.

    ``_t`` counts an episode's steps from 0.  Raises :class:`DataError` for rows that no measure could use.
    """
    if isinstance(by, str):
        raise SpecError(f"by={by!r} is text: give a list of columns, [{by!r}]")
    need_columns(table, [*by, "episode", "step", "arm", "reward"], "behaviour")
    if table.empty:
        raise DataError("the table of episodes is empty")
    arms, rewards = (_numbers(table[name]) for name in ("arm", "reward"))
    _refuse(~((arms >= 0) & (arms % 1 == 0)), table["arm"], "leave out steps on which no arm was chosen")
    _refuse(~np.isfinite(rewards), table["reward"], "every step needs a finite reward")
    ordered = table.assign(arm=arms.astype(np.int64), reward=rewards)
    ordered["_episode"] = ordered.groupby(episode_key(by), dropna=False).ngroup()
    twice = ordered[ordered.duplicated(["_episode", "step"])]
    if len(twice):
        episode, step = twice["episode"].iloc[0], twice["step"].iloc[0]
        raise DataError(
            f"episode {episode} has step {step} twice: name the columns that tell its conditions apart in by="
        )
    ordered = ordered.sort_values(["_episode", "step"], kind="stable", ignore_index=True)
    return ordered.assign(_t=ordered.groupby("_episode").cumcount())


def _numbers(column: pd.Series[Any]) -> Float[np.ndarray, " rows"]:
    return pd.to_numeric(column, errors="coerce").to_numpy(dtype=np.float64, na_value=np.nan)


def _refuse(wrong: np.ndarray, column: pd.Series[Any], advice: str) -> None:
    if wrong.any():
        row = int(wrong.argmax())
        raise DataError(f"{column.name} at row {row} is {column.iloc[row]}: {advice}")


def sum_before(values: pd.Series[float], episode: pd.Series[int]) -> Float[np.ndarray, " rows"]:
    """Sum over the earlier rows of the same episode; rows are in order."""
    return values.groupby(episode).cumsum().groupby(episode).shift(1, fill_value=0.0).to_numpy()


def mean_columns(table: pd.DataFrame) -> list[str]:
    """``mean0``, ``mean1``... in the order of the arms."""
    names: list[str] = []
    while f"mean{len(names)}" in table:
        names.append(f"mean{len(names)}")
    return names


def arm_means(table: pd.DataFrame) -> Float[np.ndarray, "rows arms"]:
    """The columns ``mean*`` as an array; raises :class:`DataError` when a chosen arm has none."""
    names = mean_columns(table)
    if not names:
        raise DataError("the table has no column 'regret' and no means of the arms: add mean0, mean1, ...")
    means = table[names].to_numpy(dtype=np.float64)
    arm = table["arm"].to_numpy(dtype=np.int64)
    lacking = (arm >= means.shape[1]) | np.isnan(means[np.arange(len(arm)), np.minimum(arm, means.shape[1] - 1)])
    if lacking.any():
        raise DataError(f"arm {arm[lacking][0]} was chosen but has no mean: the table has {', '.join(names)}")
    return means


def episode_key(by: Columns) -> list[str]:
    """The columns that identify an episode."""
    return [*by, "episode"]


def need_columns(table: pd.DataFrame, columns: Columns, what: str) -> None:
    """Raise :class:`DataError` that names the first missing column."""
    missing = [name for name in columns if name not in table]
    if missing:
        raise DataError(f"{what} needs the column {missing[0]!r}{did_you_mean(missing[0], map(str, table.columns))}")
