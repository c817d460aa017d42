"""The hash of a spec depends on what it says and on nothing else."""

import dataclasses
import hashlib
from pathlib import Path

import numpy as np
import pydantic
import pytest
from hypothesis import given
from hypothesis import strategies as st

from workbench.errors import SpecError
from workbench.runs.specs import first_difference, spec_data, spec_hash
from workbench.sites import Site

LEAVES = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text()
JSON = st.recursive(LEAVES, lambda x: st.lists(x, max_size=3) | st.dictionaries(st.text(), x, max_size=3), max_leaves=8)
SPECS = st.dictionaries(st.text(max_size=4), JSON, max_size=4)


class Model(pydantic.BaseModel):
    name: str = "tiny"
    layers: tuple[int, ...] = (1, 2)


@dataclasses.dataclass(frozen=True)
class Plain:
    sites: tuple[Site, ...]
    folder: Path


def test_hash_is_sha256_of_canonical_json():
    canonical = b'{"a":[1,2.5],"b":{"c":null,"d":"x"}}'
    spec = {"b": {"d": "x", "c": None}, "a": (1, 2.5)}
    assert spec_hash(spec) == hashlib.sha256(canonical).hexdigest()[:12]


@given(SPECS)
def test_order_of_keys_does_not_matter_and_written_data_has_the_same_hash(spec):
    backwards = dict(reversed(spec.items()))
    assert spec_hash(backwards) == spec_hash(spec) == spec_hash(spec_data(spec))
    assert first_difference(spec_data(spec), spec_data(backwards)) is None


@given(SPECS, SPECS)
def test_specs_have_one_hash_exactly_when_no_key_differs(one, other):
    difference = first_difference(spec_data(one), spec_data(other))
    assert (difference is None) == (spec_hash(one) == spec_hash(other))


def test_pydantic_models_dataclasses_sites_and_numpy_are_plain_data():
    assert spec_data(Model()) == {"name": "tiny", "layers": [1, 2]}
    assert spec_hash(Model()) == spec_hash({"name": "tiny", "layers": [1, 2]})
    plain = Plain((Site(3),), Path("a/b"))
    assert spec_data(plain) == {"sites": ["blocks.3.hook_resid_post"], "folder": "a/b"}
    assert spec_data({"n": np.int64(3), "x": np.array([1.5]), "s": {2, 1}, "m": Model()}) == {
        "n": 3,
        "x": [1.5],
        "s": [1, 2],
        "m": {"name": "tiny", "layers": [1, 2]},
    }


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), object(), lambda: 0, b"bytes"])
def test_what_has_no_json_form_is_refused(bad):
    with pytest.raises(SpecError, match="spec cannot be written as JSON"):
        spec_data({"x": bad})


def test_spec_that_refers_to_itself_or_is_no_mapping_is_refused():
    loop = {}
    loop["loop"] = loop
    with pytest.raises(SpecError, match="cannot be written as JSON"):
        spec_data(loop)
    with pytest.raises(SpecError, match="must be a dict or a pydantic model, not list"):
        spec_data([1])


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ({"a": 1, "b": 2}, {"a": 1, "b": 3}, "b is 2 there and 3 here"),
        ({"b": 1, "a": 1}, {"b": 2, "a": 2}, "a is 1 there and 2 here"),
        ({"a": {"x": [1]}}, {"a": {"x": [2]}}, "a.x is [1] there and [2] here"),
        ({"a": 1}, {}, "a is 1 there and nothing here"),
        ({}, {"a": None}, "a is nothing there and None here"),
        ({"a": {"x": 1}}, {"a": 2}, "a is {'x': 1} there and 2 here"),
        ({"a": 1}, {"a": 1.0}, "a is 1 there and 1.0 here"),
    ],
)
def test_first_differing_key_is_named_with_both_values(old, new, said):
    assert first_difference(old, new) == said


def test_long_values_are_cut_in_the_message():
    assert len(first_difference({"a": "x" * 500}, {"a": "y" * 500}) or "") < 160
