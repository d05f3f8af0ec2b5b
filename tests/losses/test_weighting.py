"""Weightings against their closed forms, on the image and on what the network predicts."""

import pytest
import torch

from unetdiff.losses import EDMObjective, EpsilonObjective, MinSNR, SoftMinSNR, VObjective, X0Objective

SNR = torch.tensor([1e-4, 0.25, 1.0, 5.0, 20.0, 1e4], dtype=torch.float64)
SIGMA = SNR**-0.5


def on_the_prediction(objective):
    """lambda c_out^2: the factor on the squared error of the network's output."""
    return objective.weight(SIGMA) * objective.preconditioning.c_out(SIGMA) ** 2


@pytest.mark.parametrize("gamma", [1.0, 5.0])
@pytest.mark.parametrize(
    ("kind", "divisor"),
    [(EpsilonObjective, SNR), (VObjective, SNR + 1), (X0Objective, torch.ones_like(SNR))],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_min_snr_of_each_prediction(kind, divisor, gamma):
    expected = torch.minimum(SNR, torch.full_like(SNR, gamma)) / divisor
    weights = on_the_prediction(kind(weighting=MinSNR(gamma=gamma)))
    torch.testing.assert_close(weights, expected, rtol=1e-12, atol=0)


def test_soft_min_snr_adds_reciprocals():
    weights = SoftMinSNR(gamma=4.0).weight(SIGMA)
    torch.testing.assert_close(1 / weights, 1 / SNR + 1 / 4, rtol=1e-12, atol=0)
    assert (weights < MinSNR(gamma=4.0).weight(SIGMA)).all()


@pytest.mark.parametrize("sigma_data", [0.5, 1.0])
def test_soft_min_snr_of_edm(sigma_data):
    weights = on_the_prediction(EDMObjective(sigma_data=sigma_data, weighting=SoftMinSNR(gamma=sigma_data**-2)))
    expected = (SIGMA * sigma_data) ** 2 / (SIGMA**2 + sigma_data**2) ** 2
    torch.testing.assert_close(weights, expected, rtol=1e-12, atol=0)
