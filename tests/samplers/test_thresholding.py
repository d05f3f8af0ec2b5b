import math

import pytest
import torch
from diffusers import DDPMScheduler

from samplers import Guidance, Heun, PerImageNoise, clamped, dynamically_thresholded, guided, karras, sample

SIGMA = torch.tensor(1.0)


def same(x, sigma):
    return x


def bend(x, sigma):
    return torch.tanh(x / (1 + sigma**2) ** 0.5)


@pytest.fixture
def images():
    """Inside the range, a little outside, far outside."""
    return torch.tensor([0.2, 1.0, 5.0]).reshape(-1, 1, 1, 1) * PerImageNoise([0, 1, 2], (3, 8, 8))()


@pytest.mark.parametrize("transformation", [clamped, dynamically_thresholded])
@pytest.mark.parametrize("value_range", [(-1.0, 1.0), (0.0, 1.0), (-3.0, 7.0)])
def test_stays_in_the_range(images, transformation, value_range):
    lowest, highest = value_range
    D = transformation(same, value_range=value_range)(images, SIGMA)
    rounding = 4 * torch.finfo(D.dtype).eps
    assert lowest - rounding <= D.min() < D.max() <= highest + rounding


@pytest.mark.parametrize("transformation", [clamped, dynamically_thresholded])
def test_an_image_in_the_range_stays_as_it_is_bit_for_bit(images, transformation):
    assert images[0].abs().max() < 1
    assert torch.equal(transformation(same)(images, SIGMA)[0], images[0])


def test_clamping_is_elementwise(images):
    assert torch.equal(clamped(same, (-0.5, 0.25))(images, SIGMA), images.clamp(-0.5, 0.25))


@pytest.mark.parametrize("quantile", [0.5, 0.9, 0.995])
def test_dynamic_thresholding_is_that_of_diffusers(images, quantile):
    scheduler = DDPMScheduler(thresholding=True, dynamic_thresholding_ratio=quantile, sample_max_value=math.inf)
    expected = scheduler._threshold_sample(images)
    torch.testing.assert_close(dynamically_thresholded(same, quantile)(images, SIGMA), expected, rtol=1e-6, atol=0)


def test_dynamic_thresholding_of_the_maximum_only_shrinks(images):
    scale = images.abs().amax(dim=(1, 2, 3), keepdim=True).clamp(min=1)
    torch.testing.assert_close(dynamically_thresholded(same, 1.0)(images, SIGMA), images / scale, rtol=1e-6, atol=0)


def test_dynamic_thresholding_knows_the_middle_of_the_range(images):
    """Values in [0, 1] are those in [-1, 1], shifted and halved."""
    shifted = dynamically_thresholded(same, 0.9, (0.0, 1.0))((images + 1) / 2, SIGMA)
    expected = (dynamically_thresholded(same, 0.9)(images, SIGMA) + 1) / 2
    torch.testing.assert_close(shifted, expected, rtol=0, atol=1e-6)


def test_dynamic_thresholding_looks_at_one_image_at_a_time(images):
    thresholded = dynamically_thresholded(same, 0.9)
    alone = torch.cat([thresholded(image[None], SIGMA) for image in images])
    assert torch.equal(thresholded(images, SIGMA), alone)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float64])
def test_keeps_the_dtype(images, dtype):
    assert dynamically_thresholded(same)(images.to(dtype), SIGMA).dtype == dtype


def test_the_outer_transformation_acts_last(images):
    guidance = Guidance(weight=5.0)
    outside = clamped(guided(same, bend, guidance))(images, SIGMA)
    inside = guided(clamped(same), bend, guidance)(images, SIGMA)
    assert torch.equal(outside, guided(same, bend, guidance)(images, SIGMA).clamp(-1, 1))
    assert outside.abs().max() == 1
    assert inside.abs().max() > 1.2


def test_a_sampled_image_is_in_the_range():
    x = 80 * PerImageNoise([0, 1], (1, 4, 4))()
    guidance = Guidance(weight=5.0)
    plain = guided(bend, lambda x, sigma: 0 * x, guidance)
    assert sample(plain, x, karras(5), Heun()).abs().max() > 1.5
    assert sample(clamped(plain), x, karras(5), Heun()).abs().max() <= 1


@pytest.mark.parametrize("quantile", [0.0, 1.01, math.nan])
def test_a_quantile_that_is_none_is_refused(quantile):
    with pytest.raises(ValueError, match=rf"quantile: expected a number in \(0, 1\], got {quantile}"):
        dynamically_thresholded(same, quantile)


@pytest.mark.parametrize("transformation", [clamped, dynamically_thresholded])
def test_an_empty_range_is_refused(transformation):
    with pytest.raises(ValueError, match=r"value_range: expected lowest < highest, got \(1.0, -1.0\)"):
        transformation(same, value_range=(1.0, -1.0))


@pytest.mark.parametrize("quantile", [0.3, 0.5, 0.995, 1.0])
@pytest.mark.parametrize("size", [1, 2, 7, 50])
def test_the_range_shrinks_by_the_quantile(quantile, size):
    x = 5 * torch.randn(3, 1, size, size, dtype=torch.float64)
    s = x.abs().flatten(1).quantile(quantile, dim=1).clamp(min=1).reshape(-1, 1, 1, 1)
    thresholded = dynamically_thresholded(lambda x, sigma: x, quantile)(x, torch.tensor(1.0))
    torch.testing.assert_close(thresholded, x.clamp(-s, s) / s)


def test_pictures_of_more_values_than_torchs_quantile_takes():
    x = torch.linspace(-3, 3, 4200).expand(1, 1, 4200, 4200)
    thresholded = dynamically_thresholded(lambda x, sigma: x, 0.9)(x, torch.tensor(1.0))
    torch.testing.assert_close(thresholded.min(), torch.tensor(-1.0))
