"""Tables as Parquet: one frame to bytes, files to one frame."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from workbench.arguments import one_of
from workbench.errors import DataError, RunError, WorkbenchError

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa


def frame_bytes(frame: pd.DataFrame, what: str) -> memoryview:
    """A frame as the bytes of a Parquet file, the same bytes for the same frame; its index is not kept.

    Raises :class:`DataError` for column names that are not distinct text, a named index (``reset_index`` it first),
    or a column that mixes types; ``what`` names the frame in the error.
    """
    import pandas as pd
    import pyarrow as pa
    import pyarrow.parquet as pq

    names = list(one_of(frame, pd.DataFrame, what).columns)
    if not all(isinstance(name, str) for name in names) or len(set(names)) < len(names):
        raise DataError(f"{what}: column names must be distinct text, not {names}")
    if any(name is not None for name in frame.index.names):
        raise DataError(f"{what}: the index {list(frame.index.names)} would be lost, call reset_index() first")
    try:
        table = pa.Table.from_pandas(frame, preserve_index=False)
        sink = pa.BufferOutputStream()
        # Checksums let a reader notice a shard that was damaged in the middle as well as one cut short.
        pq.write_table(table, sink, write_page_checksum=True)
    except (pa.ArrowException, TypeError) as error:
        raise DataError(f"{what} cannot be a table: {_line(error)}") from error
    return memoryview(sink.getvalue())


def read_table(path: Path, error: type[WorkbenchError] = RunError) -> pa.Table:
    """Read one Parquet file whole; a missing or damaged one raises ``error`` naming it."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        return pq.read_table(pa.BufferReader(path.read_bytes()), page_checksum_verification=True)
    except FileNotFoundError as cause:
        raise error(f"{path} does not exist") from cause
    except (pa.ArrowException, OSError, ValueError) as cause:
        raise error(f"{path} is broken ({_line(cause)}): it must be made again") from cause


def read_frames(paths: Sequence[Path], error: type[WorkbenchError] = RunError) -> pd.DataFrame:
    """The rows of all files, in the order given.

    Where files disagree on a column's type the wider one is taken (nothing < integer < float), so that a file whose
    column is empty does not turn numbers into objects; types with no common one raise ``error``.
    """
    import pandas as pd
    import pyarrow as pa

    tables = [read_table(path, error) for path in paths]
    if not tables:
        return pd.DataFrame()
    if any(not table.schema.equals(tables[0].schema) for table in tables):
        # pandas' notes on the first file's types would be wrong for the common ones.
        tables = [table.replace_schema_metadata(None) for table in tables]
    try:
        return pa.concat_tables(tables, promote_options="permissive").to_pandas()
    except pa.ArrowException as cause:
        raise error(f"the tables in {paths[0].parent} do not fit together: {_line(cause)}") from cause


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:200]
