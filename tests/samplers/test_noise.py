import pytest
import torch

from samplers import PerImageNoise

SHAPE = (1, 5, 7)


def test_an_image_draws_from_its_own_generator():
    noise = PerImageNoise([3, 5], SHAPE)
    first, second = noise(), noise()
    for row, seed in enumerate([3, 5]):
        generator = torch.Generator().manual_seed(seed)
        assert torch.equal(first[row], torch.randn(SHAPE, generator=generator))
        assert torch.equal(second[row], torch.randn(SHAPE, generator=generator))


def test_leaves_the_global_generator_alone():
    before = torch.get_rng_state()
    PerImageNoise([0], SHAPE)()
    assert torch.equal(torch.get_rng_state(), before)


def test_same_seed_same_numbers():
    draw = PerImageNoise([7, 1, 7], SHAPE)()
    assert torch.equal(draw[0], draw[2])
    assert not torch.equal(draw[0], draw[1])


def test_a_seed_means_the_same_numbers_in_every_dtype():
    single, double = PerImageNoise([9], SHAPE)(), PerImageNoise([9], SHAPE, dtype=torch.float64)()
    assert double.dtype == torch.float64
    assert torch.equal(double, single.double())


def test_draws_are_standard_normal():
    """4 million numbers over 4 seeds: the standard errors of mean and variance are 0.0005 and 0.0007."""
    draws = PerImageNoise(range(4), (1_000_000,), dtype=torch.float64)()
    assert abs(draws.mean()) < 0.0025
    assert abs(draws.var() - 1) < 0.0035


@pytest.mark.parametrize("seed", [0, 2**32, 2**63, 2**64 - 1])
def test_seeds_that_are_taken(seed):
    assert PerImageNoise([seed], SHAPE)().shape == (1, *SHAPE)


@pytest.mark.parametrize("seed", [-1, 2**64])
def test_seeds_that_are_refused(seed):
    with pytest.raises(ValueError, match=rf"seeds: expected numbers from 0 to 2\*\*64 - 1, got {seed}"):
        PerImageNoise([1, seed], SHAPE)


def test_no_seeds_are_refused():
    with pytest.raises(ValueError, match="seeds: expected at least one, got none"):
        PerImageNoise([], SHAPE)
