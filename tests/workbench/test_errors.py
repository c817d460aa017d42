"""User errors share one base, stay the built-in kinds that callers expect, and fit on one line."""

import inspect
import warnings

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workbench import console, errors
from workbench.errors import DataError, MissingExtraError, WorkbenchError, check_known, did_you_mean


def test_every_exported_error_is_a_workbench_error():
    exported = [each for each in vars(errors).values() if inspect.isclass(each) and each.__module__ == errors.__name__]
    exported.remove(errors.WorkbenchWarning)
    assert len(exported) >= 8
    assert all(issubclass(error, WorkbenchError) for error in exported)


@pytest.mark.parametrize(
    ("error", "built_in"),
    [
        (errors.SiteError, ValueError),
        (errors.SpecError, ValueError),
        (errors.DataError, ValueError),
        (MissingExtraError, ImportError),
    ],
)
def test_callers_that_catch_the_built_in_kind_still_do(error, built_in):
    assert issubclass(error, built_in)


def test_missing_extra_names_the_package_and_what_to_install():
    text = str(MissingExtraError("mujoco", "mujoco"))
    assert "'mujoco'" in text
    assert "pip install 'activation-workbench[mujoco]'" in text
    assert "\n" not in text


def test_near_name_is_suggested_and_otherwise_all_are_listed():
    assert did_you_mean("resid_pots", ["resid_post", "mlp_out"]) == "; did you mean 'resid_post'?"
    assert did_you_mean("zzz", (name for name in ["a", "b"])) == "; valid: a, b"


@given(st.text(max_size=8), st.lists(st.sampled_from(["east", "introspection", "internal_rl"]), unique=True))
def test_suggestion_only_ever_names_valid_names(name, valid):
    text = did_you_mean(name, valid)
    assert text == f"; valid: {', '.join(valid)}" or any(f"'{v}'" in text for v in valid)


def test_a_name_that_is_no_text_gets_the_valid_ones():
    assert did_you_mean(None, ["hf", "nnsight"]) == "; valid: hf, nnsight"


def test_an_unknown_name_raises_the_error_asked_for_with_the_nearest_name():
    check_known("hf", {"hf": 1}, "back end")
    with pytest.raises(DataError, match="unknown back end 'hff'; did you mean 'hf'"):
        check_known("hff", ["hf"], "back end", DataError)


def test_the_command_line_prints_a_warning_of_ours_once_as_one_line(capsys):
    with warnings.catch_warnings():
        console.quiet()
        for _ in range(2):
            errors.warn("2 rows are left out")
            warnings.warn("a library's advice", FutureWarning, stacklevel=1)
    assert capsys.readouterr().err == "note: 2 rows are left out\n"
