"""Augmentation against closed forms, and its labels against what was done."""

import math

import numpy as np
import pytest
import torch

from unetdiff.conditioning.augmentation import LABELS, Augmentation, _inverse, _labels, _transformed, resampled
from unetdiff.data.keyed import Purpose, keyed

A = np.zeros(8)


def done(**numbers):
    """a_0 to a_7, zero but for `a3=...`."""
    a = A.copy()
    for name, value in numbers.items():
        a[int(name[1:])] = value
    return a


@pytest.fixture
def image():
    return torch.rand(2, 8, 8, generator=torch.Generator().manual_seed(0))


def make(p, images, seed=0):
    draws = [keyed(seed, sample, Purpose.AUGMENTATION) for sample in range(len(images))]
    result, condition = Augmentation(p=p).make(images, draws)
    return result, condition["augment_labels"]


def test_nothing_is_done_with_probability_zero():
    images = torch.rand(50, 3, 6, 9)
    result, labels = make(0.0, images)
    assert torch.equal(result, images)
    assert torch.equal(labels, torch.zeros(50, LABELS))


def test_labels_are_zero_exactly_where_the_image_is_as_it_was():
    images = torch.rand(200, 1, 8, 8)
    result, labels = make(0.12, images)
    changed = (result != images).flatten(1).any(1)
    assert torch.equal(changed, labels.any(1))
    share = 1 - (1 - 0.06) ** 2 * (1 - 0.12) ** 4
    assert abs(changed.double().mean() - share) < 4 * math.sqrt(share * (1 - share) / 200)


@pytest.mark.parametrize("dims", [(2,), (1,), (1, 2)])
def test_mirroring_is_exact(image, dims):
    a = done(a0=2 in dims, a1=1 in dims)
    assert torch.equal(_transformed(image, a), image.flip(dims))
    assert _labels(a).tolist() == [2 in dims, 1 in dims, *[0] * 7]


@pytest.mark.parametrize("quarters", [1, 2, 3])
def test_quarter_turns_move_whole_pixels(image, quarters):
    a = done(a3=quarters * math.pi / 2)
    torch.testing.assert_close(_transformed(image, a), image.rot90(-quarters, (1, 2)), rtol=0, atol=1e-6)
    expected = torch.tensor([math.cos(a[3]) - 1, math.sin(a[3])], dtype=torch.float32)
    torch.testing.assert_close(_labels(a)[3:5], expected, rtol=0, atol=1e-7)


@pytest.mark.parametrize(("x", "y"), [(1, 0), (0, 2), (-2, 1)])
def test_translations_by_whole_pixels(image, x, y):
    a = done(a6=x, a7=y)  # an eighth of eight pixels
    moved = _transformed(image, a)
    inside = (slice(None), slice(max(y, 0), 8 + min(y, 0)), slice(max(x, 0), 8 + min(x, 0)))
    torch.testing.assert_close(moved[inside], image.roll((y, x), (1, 2))[inside], rtol=0, atol=1e-6)
    if x > 0:
        torch.testing.assert_close(moved[:, :, 0], image[:, :, 0], rtol=0, atol=1e-6)  # reflected at the border
    assert _labels(a)[7:].tolist() == [x, y]


def test_scale_and_stretch_shrink_the_way_back_as_their_formulas_say():
    quarter_up = 5 * math.log2(1.25)  # of an octave's fifth: a factor of 1.25

    def linear(**numbers):
        return _inverse(done(**numbers), 32, 32)[:, :2]

    np.testing.assert_allclose(linear(a2=quarter_up), np.diag([0.8, 0.8]), rtol=0, atol=1e-12)
    np.testing.assert_allclose(linear(a4=math.pi / 2, a5=quarter_up), np.diag([1.25, 0.8]), rtol=0, atol=1e-12)
    diagonal = linear(a4=math.pi / 4, a5=quarter_up)
    np.testing.assert_allclose(diagonal @ [1, 1], [0.8, 0.8], rtol=0, atol=1e-12)
    np.testing.assert_allclose(diagonal @ [1, -1], [1.25, -1.25], rtol=0, atol=1e-12)


def test_what_is_scaled_up_shows_the_middle():
    ramp = torch.arange(-15.5, 16).expand(1, 32, 32)
    enlarged = _transformed(ramp, done(a2=5.0))  # one octave
    torch.testing.assert_close(enlarged[0, 16, 8:24], ramp[0, 16, 8:24] / 2, rtol=0, atol=0.05)  # bicubic's own error


def test_the_identity_keeps_an_image_that_is_no_square():
    image = torch.rand(3, 5, 9)
    torch.testing.assert_close(resampled(image, np.eye(2, 3)), image, rtol=0, atol=1e-6)


def test_an_image_depends_on_its_own_draws():
    images = torch.rand(6, 1, 8, 8)
    whole, labels = make(0.5, images)
    alone, label = Augmentation(p=0.5).make(images[4:5], [keyed(0, 4, Purpose.AUGMENTATION)])
    assert torch.equal(alone[0], whole[4])
    assert torch.equal(label["augment_labels"][0], labels[4])
    assert not torch.equal(make(0.5, images, seed=1)[1], labels)


def test_a_larger_probability_does_more_of_the_same():
    images = torch.rand(100, 1, 4, 4)
    few, many = make(0.2, images)[1], make(0.7, images)[1]
    angle = few[:, 4] != 0
    assert torch.equal(few[angle, 3:5], many[angle, 3:5])


def test_no_probability_is_refused():
    with pytest.raises(ValueError, match=r"augment.p: expected a probability, got 1.5"):
        Augmentation(p=1.5)
