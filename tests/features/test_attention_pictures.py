import numpy as np
import pytest
import torch

from unetdiff.features.attention_pictures import overlaid, token_grid

PIXELS = np.full((2, 8, 12, 1), 128, dtype=np.uint8)


def test_heat_is_over_the_place_that_has_it():
    heat = torch.zeros(4, 6)
    heat[1, 4] = 0.3
    brightness = np.asarray(overlaid(PIXELS[0], heat).convert("L"), dtype=float)
    assert brightness.shape == (8, 12)
    assert np.unravel_index(brightness.argmax(), brightness.shape) in [(2, 8), (2, 9), (3, 8), (3, 9)]
    assert brightness[6, 0] < 128 / 2


def test_maps_are_shown_by_their_own_range():
    heat = torch.rand(8, 12)
    pictures = [np.asarray(overlaid(PIXELS[0], scaled)) for scaled in (heat, heat / 100 + 3)]
    assert np.abs(pictures[0].astype(int) - pictures[1]).max() <= 2
    assert np.asarray(overlaid(PIXELS[0], torch.ones(2, 3))).std(axis=(0, 1)).max() == 0


def test_a_row_for_each_token_below_the_images():
    maps = torch.rand(2, 5, 4, 6)
    tall = token_grid(PIXELS, maps, ["a", "red", "fox"], scale=3)
    assert tall.size[1] == 4 * (8 * 3 + 2) + 2
    narrow = token_grid(PIXELS[:1], maps[:1], ["a", "red", "fox"], scale=3)
    assert tall.size[0] - narrow.size[0] == 12 * 3 + 2


@pytest.mark.parametrize(
    ("maps", "tokens", "message"),
    [
        (torch.rand(1, 5, 4, 6), ["a"], "maps: expected one for each of 2 images, got 1"),
        (torch.rand(2, 2, 4, 6), ["a", "b", "c"], "tokens: expected labels of up to 2 tokens, got 3"),
    ],
)
def test_refusals(maps, tokens, message):
    with pytest.raises(ValueError, match=message):
        token_grid(PIXELS, maps, tokens)
