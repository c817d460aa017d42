"""The tables of a run: artifacts and the rows of its units, shown with downloads."""

from __future__ import annotations

import io

import pandas as pd
import streamlit as st

from workbench.runs import RunRecord
from workbench.views.text import plain

_TABLE, _ROWS = "table ", "rows of "
_MOST = 50_000  # rows that a browser is sent


def table_names(run: RunRecord) -> list[str]:
    """``table NAME`` for each artifact, then ``rows of UNIT`` for each finished unit."""
    artifacts = [name.removesuffix(".parquet") for name in run.artifacts if name.endswith(".parquet")]
    return [_TABLE + name for name in artifacts] + [_ROWS + unit for unit in run.steps()]


def read_table(run: RunRecord, name: str) -> pd.DataFrame:
    """The table of that name; raises :class:`RunError` when it is broken."""
    return run.load_table(name[len(_TABLE) :]) if name.startswith(_TABLE) else run.read(name[len(_ROWS) :])


def show_table(table: pd.DataFrame, file: str, key: str) -> None:
    """The rows, and buttons that save them as CSV and Parquet under the name ``file``."""
    note = f"{len(table)} rows" + (f"; the first {_MOST} are shown, downloads have all" if len(table) > _MOST else "")
    st.caption(plain(note))
    st.dataframe(table.head(_MOST), hide_index=True, key=f"{key}-rows")
    with st.container(horizontal=True):
        st.download_button(
            "Download as CSV", lambda: table.to_csv(index=False), f"{file}.csv", "text/csv", key=f"{key}-csv",
            on_click="ignore",
        )  # fmt: skip
        st.download_button(
            "as Parquet", lambda: _parquet(table), f"{file}.parquet", "application/octet-stream",
            key=f"{key}-parquet", on_click="ignore",
        )  # fmt: skip


def _parquet(table: pd.DataFrame) -> bytes:
    buffer = io.BytesIO()
    table.to_parquet(buffer, index=False)
    return buffer.getvalue()
