"""Dense probing: pixels read as interpolation has them, made-up masks, mean intersection over union."""

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from unetdiff.errors import InputError
from unetdiff.probes.confusion import Confusion
from unetdiff.probes.dense import DenseProbe
from unetdiff.probes.fitting import Training
from unetdiff.probes.networks import MLP
from unetdiff.probes.pixels import pixel_features

HELD_OUT = np.arange(0, 24, 4)
FAST = Training(epochs=15, batch=6, least_steps=1, learning_rate=0.03)
LINEAR = DenseProbe(network=MLP(pool=1, widths=()), training=FAST, pixels=32)


def halves(count=24, seed=0):
    """Masks (N, 8, 8) of two fields whose border moves, and maps at half the side that tell the two of them apart.

    A second cell is noise. Pixels beside the border lie between two positions of the map.
    """
    generator = np.random.default_rng(seed)
    border = 2 * generator.integers(1, 4, size=count)
    masks = (np.arange(8)[None, None, :] >= border[:, None, None]).repeat(8, axis=1).astype(np.int64)
    coarse = masks[:, ::2, ::2]
    maps = np.stack([coarse, 1 - coarse, coarse * 0], axis=1) + 0.02 * generator.standard_normal((count, 3, 4, 4))
    return [maps.astype(np.float32), generator.standard_normal((count, 2, 2, 2)).astype(np.float32)], masks


@pytest.mark.parametrize("size", [(8, 12), (5, 7), (3, 2)])
def test_pixels_are_those_of_the_upsampled_maps(size):
    maps = [torch.randn(2, 3, 4, 4), torch.randn(2, 5, 2, 3)]
    every = torch.arange(size[0] * size[1]).expand(2, -1)
    whole = torch.cat([F.interpolate(map_, size, mode="bilinear", align_corners=False) for map_ in maps], dim=1)
    torch.testing.assert_close(pixel_features(maps, every, size), whole.flatten(2).movedim(1, 2))


@pytest.mark.parametrize("network", [MLP(pool=1, widths=()), MLP(pool=1, widths=(8,))], ids=["linear", "mlp"])
def test_masks_that_can_be_told_are_told(network):
    features, masks = halves()
    fitted = DenseProbe(network=network, training=FAST, pixels=32).fit(features, masks, 2, HELD_OUT)
    assert fitted.course.validation > 0.98
    confusion = fitted.confusion(*halves(seed=1))
    assert confusion.mean_iou > 0.98
    assert confusion.counts.sum() == masks.size


def test_masks_at_random_are_told_no_better_than_by_chance():
    features, masks = halves()
    generator = np.random.default_rng(1)
    fitted = LINEAR.fit(features, generator.permuted(masks.reshape(24, 64), axis=1).reshape(masks.shape), 2, HELD_OUT)
    others, truth = halves(count=48, seed=1)
    shuffled = generator.permutation(truth.flatten()).reshape(truth.shape)
    most_common = max(shuffled.mean(), 1 - shuffled.mean())
    assert fitted.confusion(others, shuffled).accuracy < most_common + 0.03


def test_the_same_fit_gives_the_same_masks():
    features, masks = halves()
    first, second = (list(LINEAR.fit(features, masks, 2, HELD_OUT).predict(features, (8, 8))) for _ in range(2))
    np.testing.assert_array_equal(first, second)


def test_unknown_pixels_are_neither_learned_nor_counted():
    features, masks = halves()
    hidden = masks.copy()
    hidden[:, :4] = -1
    wrong = np.where(hidden < 0, 1 - masks, masks)
    fitted = LINEAR.fit(features, hidden, 2, HELD_OUT)
    assert fitted.confusion(features, hidden).counts.sum() == masks.size // 2
    assert fitted.confusion(features, hidden).accuracy > 0.98
    assert LINEAR.fit(features, wrong, 2, HELD_OUT).confusion(features, hidden).accuracy < 0.98


def test_intersection_over_union_of_counts():
    confusion = Confusion(np.array([[6, 2, 0], [1, 3, 0], [0, 0, 0]]))
    np.testing.assert_allclose(confusion.iou, [6 / 9, 3 / 6, np.nan])
    assert confusion.mean_iou == pytest.approx((6 / 9 + 3 / 6) / 2)
    assert confusion.accuracy == pytest.approx(9 / 12)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda f, m: (f, m[:, 0]), r"masks: shape \(N, H, W\) expected, got \(24, 8\)"),
        (
            lambda f, m: ([f[0][:5]], m),
            r"features: maps \(N, C, h, w\) of 24 images expected, got shape \(5, 3, 4, 4\)",
        ),
        (lambda f, m: ([f[0][:, :, 0]], m), r"expected, got shape \(24, 3, 4\); --pool none gives maps"),
        (lambda f, m: (f, m + 1), "masks: classes below 2 expected, got 2 in row"),
        (lambda f, m: (f, m * 0 - 1), "masks: a pixel of a known class in each image expected, got none in row"),
    ],
)
def test_refusals(spoil, message):
    with pytest.raises(InputError, match=message):
        LINEAR.fit(*spoil(*halves()), 2, HELD_OUT)
