"""The same intervention has the same identity in every process; another has another."""

import torch

from steering import Ablate, Add
from workbench.activations.identity import identity
from workbench.models.interventions import Scope


def test_identity_tells_interventions_apart_by_all_they_hold():
    vector = torch.arange(1.0, 4.0)
    different = [
        Add(vector, site=1),
        Add(vector, site=2),
        Add(vector + 1, site=1),
        Add(vector, 2.0, site=1),
        Add(vector, site=1, scope="prompt"),
        Ablate(vector, site=1),
    ]
    assert len({identity(each) for each in different}) == len(different)
    assert identity(Add(vector.clone(), site=1)) == identity(different[0])


def test_identity_does_not_change_from_process_to_process_or_release_to_release():
    assert identity(Scope()) == "Scope:5943df01294d6dbb"
    # An object that cannot be looked into is never taken for another: a capture with it is not resumed.
    assert identity(lambda x: x) != identity(lambda x: x)


def test_order_of_a_set_does_not_matter_and_that_of_a_list_does():
    assert identity({"a", "b", "c"}) == identity({"c", "a", "b"})
    assert identity([1, 2]) != identity([2, 1])
    assert identity(torch.tensor(1.0)) != identity(torch.tensor(1))
    assert identity(torch.nn.Linear(2, 2)) != identity(torch.nn.Linear(2, 2))
