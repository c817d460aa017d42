"""Layers are judged by pairs that the vector was not made of."""

import pytest
import torch

from workbench.families.steer.layers import make, separation

DRAW = torch.Generator().manual_seed(0)


@pytest.mark.parametrize("maker", ["mean_difference", "pca_difference", "linear_probe"])
def test_a_planted_direction_is_found_and_noise_is_not(maker):
    direction = torch.randn(24, generator=DRAW)
    downs = torch.randn(16, 24, generator=DRAW)
    apart = separation(maker, downs + direction + 0.1 * torch.randn(16, 24, generator=DRAW), downs)
    assert apart["accuracy"] == 1.0 and apart["separation"] > 2
    made = make(maker, downs + direction, downs)
    assert torch.cosine_similarity(made, direction, dim=0) > (0.6 if maker == "linear_probe" else 0.99)
    noise = [separation(maker, *torch.randn(2, 16, 24, generator=DRAW), seed)["accuracy"] for seed in range(20)]
    assert sum(noise) / 20 < 0.65, "in-sample, noise of 24 dimensions would be told apart"
