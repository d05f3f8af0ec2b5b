import pytest
import torch

from samplers import (
    IPNDM,
    Heun,
    PerImageNoise,
    Restart,
    clamped,
    inpainted,
    karras,
    sample,
    start_at,
    with_restarts,
)

SHAPE = (2, 4, 4)
MASK = torch.zeros(4, 4)
MASK[:, 1:3] = 1
KNOWN = MASK.bool().expand(2, *SHAPE)
IMAGE = torch.linspace(-0.9, 0.9, 64).reshape(2, *SHAPE)


def bend(x, sigma):
    """A denoiser in which neighbours influence each other."""
    return torch.tanh((x + 0.5 * x.roll(1, dims=-1)) / (1 + sigma**2) ** 0.5)


def run(denoise, sampler, sigmas, noise=None):
    noise = noise or PerImageNoise([3, 4], SHAPE)
    return sample(denoise, sigmas[0].float() * noise(), sigmas, sampler, noise=noise)


def test_known_pixels_come_out_exactly_with_every_sampler(sampler):
    """On the way to 0 all return the prediction but iPNDM, which adds the rounding of its earlier slopes."""
    noise = PerImageNoise([3, 4], SHAPE, dtype=torch.float64)
    images = sample(inpainted(bend, IMAGE, MASK), 80 * noise(), karras(8), sampler, noise=noise)
    tolerance = 1e-13 if isinstance(sampler, IPNDM) else 0
    torch.testing.assert_close(images[KNOWN], IMAGE[KNOWN].double(), rtol=0, atol=tolerance)


def test_the_unknown_pixels_follow_the_known(one_step_sampler):
    one, other = (run(inpainted(bend, image, MASK), one_step_sampler, karras(8)) for image in (IMAGE, -IMAGE))
    assert (one - other)[~KNOWN].abs().max() > 0.1


def test_a_mask_of_zeros_changes_nothing_bit_for_bit(sampler):
    assert torch.equal(run(inpainted(bend, IMAGE, 0 * MASK), sampler, karras(6)), run(bend, sampler, karras(6)))


@pytest.mark.parametrize("restarts", [[], [Restart(t_min=1.0, t_max=10.0, K=2)]], ids=["falling", "restarts"])
def test_known_pixels_of_x_are_at_the_noise_level_of_every_step(restarts):
    """x = y + sigma eps with eps of variance 1: nothing has to be noised again."""
    shape = (1, 64, 64)
    image, noise = torch.full((1, *shape), 0.3, dtype=torch.float64), PerImageNoise([0], shape, dtype=torch.float64)
    x, sigmas = start_at(image, noise, karras(8), sigma=80.0)
    steps = []
    denoise = inpainted(bend, image, torch.ones(64, 64))
    sample(denoise, x, with_restarts(sigmas, restarts), Heun(), noise=noise, callback=steps.append)
    for step in steps[:-1]:
        std = ((step.x - image) / step.sigma_next).std()
        assert float(std) == pytest.approx(1, abs=5 / (2 * 64**2) ** 0.5)
    assert torch.equal(steps[-1].x, image)


def test_a_soft_mask_mixes():
    soft, sigma, x = MASK * 0.25, torch.tensor(1.0), PerImageNoise([3, 4], SHAPE)()
    D = bend(x, sigma)
    expected = soft * IMAGE + (1 - soft) * D
    torch.testing.assert_close(inpainted(bend, IMAGE, soft)(x, sigma), expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize("mask", [MASK.bool(), MASK.double(), MASK.expand(1, 4, 4), MASK.expand(2, 1, 4, 4)])
def test_masks_of_every_kind(mask):
    x, sigma = PerImageNoise([3, 4], SHAPE)(), torch.tensor(1.0)
    D = inpainted(bend, IMAGE.double(), mask)(x, sigma)
    assert D.dtype == x.dtype
    assert torch.equal(D, torch.where(KNOWN, IMAGE, bend(x, sigma)))


def test_one_image_serves_for_all_rows():
    images = run(inpainted(bend, IMAGE[0], MASK), Heun(), karras(5))
    assert torch.equal(images[1][KNOWN[0]], IMAGE[0][KNOWN[0]])


def test_outside_of_clamping_known_pixels_are_not_clamped():
    images = run(inpainted(clamped(bend), 3 * IMAGE, MASK), Heun(), karras(5))
    assert torch.equal(images[KNOWN], 3 * IMAGE[KNOWN])


def test_an_image_does_not_depend_on_its_batch():
    together = run(inpainted(bend, IMAGE, MASK), Heun(), karras(6))
    alone = [
        run(inpainted(bend, IMAGE[i], MASK), Heun(), karras(6), PerImageNoise([3 + i], SHAPE))[0] for i in range(2)
    ]
    assert torch.equal(together, torch.stack(alone))


@pytest.mark.parametrize(
    ("mask", "message"),
    [
        (MASK * 2, r"mask: expected values in \[0, 1\], got 0.0 to 2.0"),
        (MASK * torch.nan, r"mask: expected values in \[0, 1\], got nan to nan"),
        (MASK[:3], r"mask: expected a shape that fits \(2, 2, 4, 4\), got \(3, 4\)"),
        (MASK.expand(1, 1, 1, 4, 4), r"mask: expected a shape that fits \(2, 2, 4, 4\), got \(1, 1, 1, 4, 4\)"),
    ],
)
def test_bad_masks_are_refused(mask, message):
    with pytest.raises(ValueError, match=message):
        inpainted(bend, IMAGE, mask)
