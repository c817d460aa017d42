"""Tables come back as they were, and do not depend on which file came first."""

import numpy as np
import pandas as pd
import pytest

from workbench.errors import DataError, RunError
from workbench.tables import frame_bytes, read_frames, read_table


@pytest.fixture
def frame():
    """A table with the kinds of columns that results have."""
    return pd.DataFrame(
        {
            "episode": [0, 1],
            "entropy": [0.1 + 0.2, float("nan")],
            "arm": ["Button 1", None],
            "valid": [True, False],
            "setting": pd.Categorical(["95-105", "100-100"]),
        }
    )


@pytest.fixture
def save(tmp_path):
    def write(name, frame):
        path = tmp_path / name
        path.write_bytes(frame_bytes(frame, name))
        return path

    return write


def test_values_and_dtypes_come_back_bit_for_bit(save, frame):
    pd.testing.assert_frame_equal(read_frames([save("a", frame)]), frame, check_exact=True)
    nullable = pd.DataFrame({"n": pd.array([1, None], dtype="Int64"), "t": pd.to_datetime(["2026-01-01", None])})
    pd.testing.assert_frame_equal(read_frames([save("b", nullable), save("c", nullable)])[:2], nullable)


def test_same_frame_gives_the_same_bytes(frame):
    assert bytes(frame_bytes(frame, "a")) == bytes(frame_bytes(frame.copy(), "a"))


def test_column_that_is_empty_in_one_file_keeps_its_type(save):
    empty, full = pd.DataFrame({"x": [None, None], "n": [1, 2]}), pd.DataFrame({"x": [0.5], "n": [3]})
    for order in ([empty, full], [full, empty]):
        together = read_frames([save(f"{i}", part) for i, part in enumerate(order)])
        assert together["x"].dtype == np.float64
        assert together["n"].dtype == np.int64


def test_integers_beside_floats_become_floats_and_missing_columns_are_missing(save):
    one, two = pd.DataFrame({"x": [1], "only": ["a"]}), pd.DataFrame({"x": [0.5]})
    together = read_frames([save("1", one), save("2", two)])
    assert together["x"].tolist() == [1.0, 0.5]
    assert together["only"].isna().tolist() == [False, True]


def test_type_of_the_first_file_does_not_rule_the_others(save):
    one, two = pd.DataFrame({"n": pd.array([1], dtype="Int64")}), pd.DataFrame({"n": [0.5]})
    assert read_frames([save("1", one), save("2", two)])["n"].tolist() == [1.0, 0.5]


def test_categories_of_several_files_are_joined(save):
    parts = [pd.DataFrame({"c": pd.Categorical([name])}) for name in "ab"]
    assert read_frames([save(str(i), part) for i, part in enumerate(parts)])["c"].tolist() == ["a", "b"]


def test_no_files_and_files_without_rows_give_an_empty_frame(save):
    assert read_frames([]).empty
    assert read_frames([save("a", pd.DataFrame())]).empty
    assert len(read_frames([save("a", pd.DataFrame()), save("b", pd.DataFrame({"x": [1]}))])) == 1


def test_types_with_nothing_in_common_are_refused(save):
    with pytest.raises(RunError, match="do not fit together"):
        read_frames([save("1", pd.DataFrame({"x": [1]})), save("2", pd.DataFrame({"x": ["a"]}))])


@pytest.mark.parametrize(
    ("bad", "said"),
    [
        (pd.DataFrame({0: [1]}), "column names must be distinct text"),
        (pd.DataFrame([[1, 2]], columns=["a", "a"]), "column names must be distinct text"),
        (pd.DataFrame({"a": [1]}, index=pd.Index([5], name="episode")), "call reset_index"),
        (pd.DataFrame({"a": [1, "x"]}), "unit 'u' cannot be a table"),
        (pd.DataFrame({"a": [object()]}), "unit 'u' cannot be a table"),
    ],
)
def test_frame_that_would_lose_something_is_refused(bad, said):
    with pytest.raises(DataError, match=said) as caught:
        frame_bytes(bad, "unit 'u'")
    assert "\n" not in str(caught.value)


def test_broken_file_is_named_wherever_it_is_damaged(save):
    rng = np.random.default_rng(0)
    path = save("shard", pd.DataFrame({"x": rng.normal(size=500), "y": rng.normal(size=500)}))
    whole = path.read_bytes()
    for damaged in (b"", whole[:7], whole[: len(whole) // 2], whole[:-1]):
        path.write_bytes(damaged)
        with pytest.raises(RunError, match=f"{path} is broken"):
            read_table(path)
    middle = len(whole) // 3
    path.write_bytes(whole[:middle] + bytes([whole[middle] ^ 1]) + whole[middle + 1 :])
    with pytest.raises(RunError, match=f"{path} is broken"):
        read_table(path)
