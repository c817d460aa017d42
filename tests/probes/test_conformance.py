"""Every linear probe passes scikit-learn's own checks."""

import pytest
from sklearn.utils.estimator_checks import parametrize_with_checks

from probes import PROBES, make_probe
from probes.linear import LDAProbe, LogisticProbe, MassMeanProbe, RidgeProbe, RidgeRegressionProbe
from workbench.errors import SpecError

LINEAR = ("logistic", "ridge", "mass-mean", "lda", "ridge-regression")


@parametrize_with_checks(
    [LogisticProbe(), RidgeProbe(), MassMeanProbe(), MassMeanProbe(whiten=True), LDAProbe(), RidgeRegressionProbe()]
)
def test_estimator_passes_the_checks_of_scikit_learn(estimator, check):
    check(estimator)


@pytest.mark.parametrize("name", LINEAR)
def test_probes_are_made_by_name(name):
    assert type(make_probe(name)).__name__ == PROBES[name].partition(":")[2]


def test_unknown_names_and_parameters_are_refused_with_the_nearest():
    with pytest.raises(SpecError, match="did you mean 'ridge'"):
        make_probe("rigde")
    with pytest.raises(SpecError, match="did you mean 'shrinkage'"):
        make_probe("lda", shrinkag=0.1)
