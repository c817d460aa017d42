"""How games look: the bandit's choices and transcript; the grid, the way walked, the last move's probabilities."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import pandas as pd
import streamlit as st

from workbench.worlds.bandits.playground import BanditSettings, BanditStep
from workbench.worlds.grids.playground import GridStep

if TYPE_CHECKING:
    from workbench.worlds.grids.layouts import Layout

__all__ = ["show_bandit", "show_grid"]


def show_bandit(found: dict[str, list[BanditStep]], settings: BanditSettings) -> None:
    """Both episodes side by side."""
    for column, (name, steps) in zip(st.columns(len(found)), found.items(), strict=True):
        with column:
            st.subheader(name)
            _bandit(steps, settings)


def _bandit(steps: Sequence[BanditStep], settings: BanditSettings) -> None:
    best = max(range(len(settings.means)), key=lambda arm: settings.means[arm])
    done = [step for step in steps if step.arm is not None]
    if len(done) < len(steps):
        st.warning("None of the completions held a readable action, so the episode ended here.")
    if not done:
        return
    with st.container(horizontal=True):
        st.metric("Points", f"{sum(step.reward for step in done):.0f}")
        st.metric("Best arm chosen", f"{sum(step.arm == best for step in done)} of {len(done)}")
        st.metric("Mean entropy, nats", f"{sum(step.entropy for step in done) / len(done):.2f}")
    table = pd.DataFrame({
        "step": range(1, len(done) + 1),
        "arm": [1 + int(step.arm or 0) for step in done],
        "paid": [round(step.reward) for step in done],
        "entropy": [step.entropy for step in done],
        "valid": [step.valid for step in done],
    } | {f"p(arm {k + 1})": [step.shares[k] for step in done] for k in range(len(settings.means))})  # fmt: skip
    st.dataframe(table.iloc[::-1].round(2), hide_index=True, height=min(38 + 35 * len(done), 250))
    last = done[-1]
    st.code(f"{last.completion.strip()}\n\n{last.feedback}", language=None, wrap_lines=True)


def show_grid(found: dict[str, list[GridStep]], layout: Layout) -> None:
    """Both episodes side by side."""
    from workbench.worlds.grids.pictures import trajectory_picture

    for column, (name, steps) in zip(st.columns(len(found)), found.items(), strict=True):
        with column:
            st.subheader(name)
            states = [steps[0].state, *(step.after for step in steps)]
            st.image(trajectory_picture(layout, states), width=340)
            _grid(steps, layout)


def _grid(steps: Sequence[GridStep], layout: Layout) -> None:
    from workbench.worlds.moves import Move

    last, optimal = steps[-1], sum(step.decision.move in step.optimal for step in steps)
    over = "reached the goal" if last.after.cell == layout.goal else "on the way"
    st.caption(f"{len(steps)} steps, {optimal} of them optimal; {over}.")
    move = "no readable move" if last.decision.move is None else last.decision.move.name
    best = " or ".join(Move(each).name for each in last.optimal)
    st.write(f"Last move: **{move}** (optimal: {best})")
    if last.decision.probabilities is not None:
        p = pd.DataFrame({"move": [each.name for each in Move], "probability": last.decision.probabilities})
        bar = st.column_config.ProgressColumn("probability", min_value=0.0, max_value=1.0, format="%.3f")
        st.dataframe(p, hide_index=True, column_config={"probability": bar})
    else:
        st.code(last.decision.completion.strip(), language=None, wrap_lines=True)
