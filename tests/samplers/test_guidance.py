import math

import pytest
import torch

from samplers import Heun, classifier_free, karras, sample

X = torch.linspace(-2, 2, 12).reshape(3, 1, 2, 2)


class Counted:
    def __init__(self, shift):
        self.shift, self.calls = shift, 0

    def __call__(self, x, sigma):
        self.calls += 1
        return x / 3 + self.shift


@pytest.fixture
def conditional():
    return Counted(0.5)


@pytest.fixture
def unconditional():
    return Counted(-0.1)


def test_weight_1_is_bitwise_the_conditional_denoiser_and_calls_nothing_else(conditional, unconditional):
    guided = sample(classifier_free(conditional, unconditional, 1), X, karras(5), Heun())
    assert (conditional.calls, unconditional.calls) == (9, 0)
    assert torch.equal(guided, sample(conditional, X, karras(5), Heun()))


@pytest.mark.parametrize("weight", [0.0, 0.5, 2.0, 7.5])
def test_extrapolates_from_unconditional_through_conditional(conditional, unconditional, weight):
    D = classifier_free(conditional, unconditional, weight)(X, torch.tensor(1.0))
    torch.testing.assert_close(D, X / 3 - 0.1 + weight * 0.6, rtol=0, atol=1e-6)
    assert (conditional.calls, unconditional.calls) == (1, 1)


@pytest.mark.parametrize(("sigma", "inside"), [(0.2, False), (0.21, True), (3.0, True), (3.01, False)])
def test_guides_inside_the_interval_only(conditional, unconditional, sigma, inside):
    D = classifier_free(conditional, unconditional, 4.0, interval=(0.2, 3.0))(X, torch.tensor(sigma))
    assert (conditional.calls, unconditional.calls) == (1, int(inside))
    assert torch.equal(D, X / 3 + 0.5) == (not inside)


def test_the_interval_holds_row_by_row(conditional, unconditional):
    guided = classifier_free(conditional, unconditional, 4.0, interval=(0.2, 3.0))
    sigmas = torch.tensor([0.1, 1.0, 5.0])
    alone = torch.cat([guided(X[i : i + 1], sigmas[i]) for i in range(3)])
    assert torch.equal(guided(X, sigmas), alone)


@pytest.mark.parametrize("weight", [math.nan, math.inf])
def test_a_weight_that_is_no_number_is_refused(conditional, unconditional, weight):
    with pytest.raises(ValueError, match=f"weight: expected a finite number, got {weight}"):
        classifier_free(conditional, unconditional, weight)


@pytest.mark.parametrize("interval", [(1.0, 1.0), (2.0, 1.0), (-1.0, 1.0), (math.nan, 1.0)])
def test_an_empty_interval_is_refused(conditional, unconditional, interval):
    with pytest.raises(ValueError, match="interval: expected 0 <= lowest < highest"):
        classifier_free(conditional, unconditional, 2.0, interval)
