"""Concatenated pictures: what they keep of an image, what they hide, and that sampling tells the same as training."""

import pytest
import torch
from einops import reduce

from unetdiff.conditioning.concat import Inpainting, SuperResolution, described_concat
from unetdiff.data.keyed import Purpose, keyed
from unetdiff.model_info import ConcatInfo, DataInfo, ModelInfo
from unetdiff.preconditioning import EDM


@pytest.fixture
def images():
    return torch.rand(64, 2, 12, 8, generator=torch.Generator().manual_seed(0)) * 2 - 1


def draws(count, first=0, seed=0):
    return [keyed(seed, sample, Purpose.CONCAT) for sample in range(first, first + count)]


def holes(concat, images, **key):
    """The masks (B, H, W)."""
    return concat.degraded(images, draws(len(images), **key))[:, -1]


@pytest.mark.parametrize("factor", [2, 4])
class TestSuperResolution:
    def test_it_tells_what_sampling_tells_of_the_means(self, images, factor):
        concat = SuperResolution(factor=factor)
        small = reduce(images, "b c (h f) (w g) -> b c h w", "mean", f=factor, g=factor)
        assert small.shape[2:] == concat.given_size(12, 8)
        told = concat.degraded(images, draws(64))
        assert told.shape == (64, concat.channels(2), 12, 8)
        torch.testing.assert_close(told, concat.told(small, None), rtol=0, atol=1e-6)

    def test_a_flat_picture_stays_flat(self, images, factor):
        flat = images[:, :, :1, :1].expand_as(images)
        told = SuperResolution(factor=factor).degraded(flat, draws(64))
        torch.testing.assert_close(told, flat, rtol=0, atol=1e-6)

    def test_the_enlarged_picture_is_not_shifted(self, images, factor):
        concat = SuperResolution(factor=factor)
        mirrored = concat.degraded(images.flip(2, 3), draws(64))
        torch.testing.assert_close(mirrored.flip(2, 3), concat.degraded(images, draws(64)), rtol=0, atol=1e-6)


class TestInpainting:
    def test_it_keeps_what_is_outside_the_holes_and_nothing_else(self, images):
        concat = Inpainting()
        told = concat.degraded(images, draws(64))
        left, mask = told[:, :2], told[:, 2:]
        assert told.shape[1] == concat.channels(2) == 3
        assert ((mask == 0) | (mask == 1)).all()
        assert torch.equal(left, torch.where(mask.bool(), 0.0, images))

    def test_a_hole_is_one_rectangle_of_every_size_asked_for(self, images):
        mask = holes(Inpainting(size=(0.25, 0.75)), images)
        rows, columns = mask.amax(dim=2), mask.amax(dim=1)
        assert torch.equal(mask, rows[:, :, None] * columns[:, None, :])
        assert set(rows.sum(dim=1).tolist()) == set(range(3, 10))
        assert set(columns.sum(dim=1).tolist()) == set(range(2, 7))
        assert rows.amax(dim=0).all()  # also at the borders
        assert columns.amax(dim=0).all()

    def test_several_holes_are_several(self, images):
        mask = holes(Inpainting(rectangles=3, size=(0.1, 0.3)), images)
        rectangles = mask.amax(dim=2)[:, :, None] * mask.amax(dim=1)[:, None, :]
        single = (mask == rectangles).flatten(1).all(dim=1)
        assert single.any()
        assert not single.all()

    def test_everything_can_be_hidden_and_a_pixel_at_least(self, images):
        assert holes(Inpainting(size=(1.0, 1.0)), images).all()
        assert torch.equal(holes(Inpainting(size=(0.01, 0.01)), images).sum(dim=(1, 2)), torch.ones(64))

    def test_a_hole_depends_on_its_own_draws(self, images):
        concat = Inpainting(rectangles=3)
        together = holes(concat, images)
        assert torch.equal(holes(concat, images[40:43], first=40), together[40:43])
        assert not torch.equal(holes(concat, images, seed=1), together)

    def test_sampling_tells_the_same_of_a_mask(self, images):
        concat = Inpainting()
        whole = concat.degraded(images, draws(64))
        for image, told in zip(images, whole, strict=True):
            assert torch.equal(described_concat(concat.info).told(image[None], told[2:])[0], told)

    def test_a_grey_mask_has_no_grey_holes(self, images):
        told = Inpainting().told(images, torch.linspace(0, 1, 8).expand(1, 12, 8))
        assert torch.equal(told[:, 2], torch.tensor([0.0] * 4 + [1.0] * 4).expand(64, 12, 8))


@pytest.mark.parametrize("concat", [SuperResolution(factor=2), Inpainting()])
def test_the_images_to_learn_stay_as_they_are(images, concat):
    learned, condition = concat.make(images, draws(64))
    assert learned is images
    assert torch.equal(condition["concat"], concat.degraded(images, draws(64)))


@pytest.mark.parametrize("concat", [SuperResolution(factor=3), Inpainting(rectangles=2)])
def test_a_model_folder_says_which(concat):
    data = DataInfo(channels=1, height=6, width=6)
    info = ModelInfo(preconditioning=EDM(), data=data, concat=concat.info)
    read = ModelInfo.from_dict(info.to_dict())
    assert read == info
    assert type(described_concat(read.concat)) is type(concat)
    assert described_concat(read.concat).info == concat.info


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: SuperResolution(factor=1), "concat.factor: expected 2 or more, got 1"),
        (
            lambda: SuperResolution(factor=5).given_size(10, 8),
            "concat.factor: expected a divisor of the image size 10x8",
        ),
        (lambda: Inpainting(rectangles=0), "concat.rectangles: expected a positive number, got 0"),
        (lambda: Inpainting(size=(0.5, 0.2)), "concat.size: expected two shares"),
        (lambda: Inpainting(size=(0.0, 0.2)), "concat.size: expected two shares"),
        (lambda: ConcatInfo(kind="super_resolution"), "concat.factor: expected 2 or more, got None"),
        (lambda: ConcatInfo(kind="inpainting", factor=2), "concat.factor: expected null, got 2"),
    ],
)
def test_what_cannot_be_is_refused(build, message):
    with pytest.raises(ValueError, match=message):
        build()
