"""Heads: the published sizes, what reaches the output, what does not depend on what."""

import pytest
import torch

from unetdiff.errors import InputError
from unetdiff.probes.networks import CNN, MLP, Attention, Grid

PAIR = Grid(shapes=((8, 4, 4), (16, 2, 3)), levels=2)
HEADS = [MLP(widths=(6,)), MLP(pool=1, widths=()), CNN(widths=(4, 6)), Attention(heads=2)]


def made(grid, rows=3):
    return [[torch.randn(rows, *shape) for shape in grid.shapes] for _ in range(grid.levels)]


def parameters(network):
    return sum(parameter.numel() for parameter in network.parameters())


@pytest.mark.parametrize(
    ("grid", "count"),
    [
        (Grid(shapes=((1024, 16, 16),)), 27_786_216),
        (Grid(shapes=((1024, 8, 8), (1024, 16, 16), (512, 64, 64)), levels=3), 31_802_344),
    ],
    ids=["attention head, 27.8M", "DifFormer, 31.8M"],
)
def test_attention_has_the_papers_parameters(grid, count):
    with torch.device("meta"):
        assert parameters(Attention().build(grid, classes=1000)) == count


def test_an_mlp_without_widths_has_the_parameters_of_a_linear_head():
    with torch.device("meta"):
        assert parameters(MLP(pool=2, widths=()).build(Grid(shapes=((1024, 16, 16),)), 1000)) == 4_097_000


@pytest.mark.parametrize("head", HEADS)
def test_every_position_and_every_parameter_reaches_the_output(head):
    network, maps = head.build(PAIR, classes=3), made(PAIR)
    for x in (x for level in maps for x in level):
        x.requires_grad_()
    network(maps).square().sum().backward()
    for level in maps:
        for x in level:
            assert (x.grad.abs().amax(dim=(0, 1)) > 0).all()
    for name, parameter in network.named_parameters():
        assert parameter.grad.abs().max() > 0, name


@pytest.mark.parametrize("head", HEADS)
def test_a_rows_logits_do_not_depend_on_its_batch(head):
    network, maps = head.build(PAIR, classes=3), made(PAIR, rows=7)
    network(maps)  # moves running statistics
    network.eval()
    together = network(maps)
    alone = torch.cat([network([[x[row : row + 1] for x in level] for level in maps]) for row in range(7)])
    torch.testing.assert_close(alone, together)


def test_the_class_token_starts_at_zero():
    assert not Attention(heads=2).build(PAIR, classes=3).cls.any()


def test_attention_is_the_same_function_at_every_noise_level_before_the_last_layer():
    network, (low, high) = Attention(heads=2).build(PAIR, classes=3), made(PAIR)
    network.out.weight.data = network.out.weight[:, :16].repeat(1, 2)
    torch.testing.assert_close(network([low, high]), network([high, low]))


def test_attention_averages_large_maps_down():
    network = Attention(heads=2, side=2).build(Grid(shapes=((4, 6, 4),)), classes=3)
    x = torch.randn(2, 4, 6, 4)
    fields = torch.nn.functional.avg_pool2d(x, (3, 2)).repeat_interleave(3, dim=2).repeat_interleave(2, dim=3)
    torch.testing.assert_close(network([[x]]), network([[fields]]))


@pytest.mark.parametrize("head", HEADS)
def test_means_over_positions_are_maps_of_one_position(head):
    grid = Grid(shapes=((8, 1, 1),), levels=2)
    assert head.build(grid, classes=3)(made(grid)).shape == (3, 3)


@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize(
    ("other", "message"),
    [
        (Grid(shapes=PAIR.shapes), "expected those of 2 noise levels, got 1"),
        (Grid(shapes=PAIR.shapes[::-1], levels=2), r"got \(\(16, 2, 3\), \(8, 4, 4\)\)"),
        (Grid(shapes=PAIR.shapes[:1], levels=2), r"got \(\(8, 4, 4\),\)"),
    ],
)
def test_maps_of_another_grid_are_refused(head, other, message):
    with pytest.raises(InputError, match=message):
        head.build(PAIR, classes=3)(made(other))


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: Attention().build(Grid(shapes=((12, 2, 2),)), 3), "heads: expected a divisor of the width 12, got 8"),
        (lambda: Attention(width=0), "width: expected at least 1, got 0"),
        (lambda: Attention(layers=0), "layers: expected at least 1, got 0"),
        (lambda: CNN(widths=()), "widths: expected one number above 0 or more"),
        (lambda: MLP(widths=(0,)), "widths: expected numbers above 0"),
        (lambda: MLP(pool=0), "pool: expected at least 1 field, got 0"),
        (lambda: Grid(shapes=()), "shapes: expected at least one place"),
        (lambda: Grid(shapes=((3, 0, 1),)), "shapes: expected channels, height and width above 0"),
        (lambda: Grid(shapes=((3, 1, 1),), levels=0), "levels: expected at least one noise level"),
    ],
)
def test_bad_settings_are_refused(build, message):
    with pytest.raises(ValueError, match=message):
        build()
