import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from unetdiff.errors import InputError
from unetdiff.prune.width import cheapest, magnitudes, narrow, strongest
from unetdiff.prune.width.units import parts

SCORES = {"a": torch.tensor([3.0, 1.0, 2.0]), "b": torch.tensor([0.0, 5.0])}


@pytest.mark.parametrize(("share", "expected"), [(1.0, ([0, 1, 2], [0, 1])), (0.5, ([0, 2], [1])), (0.1, ([0], [1]))])
def test_the_strongest_of_each_part(share, expected):
    assert strongest(SCORES, share) == dict(zip("ab", expected, strict=True))


@pytest.mark.parametrize("share", [0.0, 1.1, float("nan")])
def test_a_share_is_a_share(share):
    with pytest.raises(ValueError, match="share: expected a number above 0, up to 1"):
        strongest(SCORES, share)


def most(unet):
    """What is saved when every part keeps one unit."""
    return unet.num_parameters() - narrow(unet, strongest(magnitudes(unet), 1e-9)).num_parameters()


@pytest.mark.parametrize("share", [0.0, 0.3, 0.9, 1.0])
def test_the_budget_is_met_with_nothing_needless(unet, share):
    scores, least = magnitudes(unet), round(share * most(unet))
    kept = cheapest(unet, scores, least)
    saved = unet.num_parameters() - narrow(unet, kept).num_parameters()
    unit = max(
        sum(unet.get_parameter(cut.parameter).numel() for cut in part.cuts) // part.units
        for part in parts(unet.config).values()
    )
    assert least <= saved < least + unit
    assert all(kept.values())


def test_what_goes_has_a_lower_score_per_parameter_than_what_stays(unet):
    scores = magnitudes(unet)
    kept = cheapest(unet, scores, most(unet) // 2)
    gone, stays = [], []
    for name, part in parts(unet.config).items():
        size = sum(unet.get_parameter(cut.parameter).numel() for cut in part.cuts) / part.units
        price = scores[name].double() / size
        for unit in range(part.units):
            if unit not in kept[name]:
                gone.append(price[unit])
            elif unit != scores[name].argmax():
                stays.append(price[unit])
    assert max(gone) <= min(stays)


@given(values=st.lists(st.floats(0, 10, width=32), min_size=4, max_size=4))
@settings(max_examples=20)
def test_the_order_within_a_part_is_the_scores(values):
    scores = {"a": torch.tensor(values)}
    kept = strongest(scores, 0.5)["a"]
    assert min(values[unit] for unit in kept) >= max(values[unit] for unit in range(4) if unit not in kept)


def test_a_budget_out_of_reach_is_refused_with_what_can_be_reached(unet):
    with pytest.raises(InputError, match=f"at most {most(unet)} parameters can be reached, got {most(unet) + 1}"):
        cheapest(unet, magnitudes(unet), most(unet) + 1)
