"""The distances of feature maps against closed forms."""

import pytest
import torch

from unetdiff.distillation import MaskedFeatures, NormalisedFeatures, PlainFeatures

LOSSES = (PlainFeatures(), NormalisedFeatures(power=1), NormalisedFeatures(power=2), MaskedFeatures())


@pytest.fixture
def maps():
    return torch.randn(2, 3, 4, 5, 5, dtype=torch.float64)


@pytest.mark.parametrize(("loss", "degree"), list(zip(LOSSES, (2, 1, 0, 2), strict=True)))
def test_the_degree_in_the_size_of_both_maps(maps, loss, degree):
    student, teacher = maps
    torch.testing.assert_close(loss(7 * student, 7 * teacher), 7.0**degree * loss(student, teacher))


@pytest.mark.parametrize("loss", LOSSES)
def test_equal_maps_are_at_distance_zero_and_others_are_not(maps, loss):
    student, teacher = maps
    assert torch.equal(loss(teacher, teacher), torch.zeros(3, dtype=torch.float64))
    assert (loss(student, teacher) > 0).all()


@pytest.mark.parametrize("loss", LOSSES)
def test_an_image_is_compared_by_itself(maps, loss):
    student, teacher = maps
    whole = loss(student, teacher)
    alone = torch.cat([loss(student[row, None], teacher[row, None]) for row in range(3)])
    torch.testing.assert_close(whole, alone, rtol=1e-14, atol=0)


def test_a_relative_error_has_the_normalised_loss_of_its_square(maps):
    teacher = maps[1]
    torch.testing.assert_close(NormalisedFeatures()(1.1 * teacher, teacher), torch.full((3,), 0.01).double())
    expected = 0.01 * teacher.square().mean((1, 2, 3)).sqrt()
    torch.testing.assert_close(NormalisedFeatures(power=1)(1.1 * teacher, teacher), expected)


def test_masked_features_number_by_number(maps):
    student, teacher = (each[0] for each in maps)
    student[0, 1, 2], teacher[1, 3, 3] = 50.0, -50.0

    def outlying(x, value):
        values = x.flatten().tolist()
        mean = sum(values) / len(values)
        variance = sum((each - mean) ** 2 for each in values) / len(values)
        return abs(value - mean) > 2 * variance**0.5

    pairs = list(zip(student.flatten().tolist(), teacher.flatten().tolist(), strict=True))
    kept = [(s - t) ** 2 for s, t in pairs if not outlying(student, s) and not outlying(teacher, t)]
    assert 0 < len(kept) < len(pairs)
    loss = MaskedFeatures()(student[None], teacher[None]).item()
    assert loss == pytest.approx(sum(kept) / len(pairs), rel=1e-12)


def test_outliers_have_no_gradient(maps):
    student = maps[0].clone()
    student[0, 0, 0, 0] = 1e3
    student.requires_grad_()
    MaskedFeatures()(student, maps[1]).sum().backward()
    assert student.grad[0, 0, 0, 0] == 0
    assert student.grad[1].abs().max() > 0


def test_a_bound_that_keeps_nothing_is_refused():
    with pytest.raises(ValueError, match="deviations: expected a positive number, got 0"):
        MaskedFeatures(deviations=0)
