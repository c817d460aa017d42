"""Spec files: fields from YAML and JSON, and mistakes in one line."""

import pytest

from workbench.errors import SpecError
from workbench.spec_files import read_spec_file


@pytest.fixture
def read(tmp_path):
    """``read(text, suffix)``: what a spec file of that text holds."""

    def go(text, suffix=".yaml"):
        (tmp_path / f"spec{suffix}").write_text(text)
        return read_spec_file(tmp_path / f"spec{suffix}")

    return go


@pytest.mark.parametrize(
    ("suffix", "text", "said"),
    [
        (".yaml", "seed: 0\nfolds: 3\nseed: 1\n", "line 3: 'seed' is given twice"),
        (".yaml", "probes:\n  lda: {shrinkage: 0.1, shrinkage: 0.2}\n", "line 2: 'shrinkage' is given twice"),
        (".json", '{"seed": 0, "probes": {"lda": 1, "lda": 2}}', "'lda' is given twice"),
    ],
)
def test_a_key_given_twice_is_refused_wherever_it_stands(read, suffix, text, said):
    with pytest.raises(SpecError, match=said):
        read(text, suffix)


def test_merged_keys_may_be_overridden(read):
    found = read("base: &base {a: 1, b: 2}\nown: &own {<<: *base, b: 3}\nlast: {deep: {<<: *own, a: 4}}\n")
    assert found["own"] == {"a": 1, "b": 3} and found["last"] == {"deep": {"a": 4, "b": 3}}


@pytest.mark.parametrize(("suffix", "text"), [(".yaml", "[1, 2]"), (".json", "3"), (".yaml", "1: 2")])
def test_a_file_without_fields_is_refused(read, suffix, text):
    with pytest.raises(SpecError, match="must hold fields and values"):
        read(text, suffix)
