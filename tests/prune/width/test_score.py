import pytest
import torch

from unetdiff.prune.width import magnitudes, taylor
from unetdiff.prune.width.units import parts

HEADS, FF = "down_blocks.0.attentions.0", "mid_block.attentions.0.transformer_blocks.1.ff"
CROSS, RESNET = "mid_block.attentions.0.transformer_blocks.1.attn2", "up_blocks.0.resnets.0"


def slices_by_hand(unet, name, unit):
    """All numbers of a unit, taken from its module by the meaning of its layers."""
    module = unet.get_submodule(name)
    if name == FF:
        rows, columns = [unit, 64 + unit], [unit]
        incoming, out = [module.net[0].proj.weight, module.net[0].proj.bias], module.net[2].weight
    elif name in (HEADS, CROSS):
        width = module.to_q.weight.shape[0] // 4
        rows = columns = [*range(unit * width, (unit + 1) * width)]
        layers = (module.to_q, module.to_k, module.to_v)
        incoming = [p for layer in layers for p in (layer.weight, layer.bias) if p is not None]
        out = module.to_out[0].weight
    else:
        rows = columns = [*range(4 * unit, 4 * unit + 4)]
        incoming = [p for layer in (module.conv1, module.norm2) for p in layer.parameters()]
        both = [*rows, *(row + 16 for row in rows)]  # scale and shift
        projected = both if module.scale_shift else rows
        embedding = [p[projected].flatten() for p in module.time_emb_proj.parameters()]
        return torch.cat([*embedding, *(p[rows].flatten() for p in incoming), module.conv2.weight[:, rows].flatten()])
    return torch.cat([*(p[rows].flatten() for p in incoming), out[:, columns].flatten()])


@pytest.mark.parametrize("name", [HEADS, CROSS, FF, RESNET])
def test_the_magnitude_is_the_norm_of_the_units_weights(unet, name):
    scores = magnitudes(unet)
    assert list(scores) == list(parts(unet.config))
    expected = torch.stack([slices_by_hand(unet, name, unit).norm() for unit in range(len(scores[name]))])
    torch.testing.assert_close(scores[name], expected.float(), rtol=1e-5, atol=0)


def test_taylor_is_the_slope_of_the_loss_on_the_way_to_zero(unet, inputs):
    """d L(w (1 - s)) / ds at s = 0, in float64 by central differences."""
    unet.requires_grad_(True)
    unet(**inputs).sample.square().mean().backward()
    scores = taylor(unet)
    unet.requires_grad_(False)
    step = 1e-5
    for name in (HEADS, CROSS, FF, RESNET):
        part, unit = parts(unet.config)[name], int(scores[name].argmax())
        losses = []
        for factor in (1 - step, 1 + step):
            scale(unet, part, unit, factor)
            losses.append(unet(**inputs).sample.square().mean())
            scale(unet, part, unit, 1 / factor)
        slope = (losses[0] - losses[1]).abs() / (2 * step)
        torch.testing.assert_close(scores[name][unit].double(), slope, rtol=1e-4, atol=0)


def scale(unet, part, unit, factor):
    for cut in part.cuts:
        parameter = unet.get_parameter(cut.parameter)
        apart = parameter.unflatten(cut.dim, (cut.copies, part.units, -1))
        apart.select(cut.dim + 1, unit).mul_(factor)


def test_taylor_needs_gradients(unet):
    with pytest.raises(ValueError, match=r"taylor: expected a gradient of every parameter, got none of \("):
        taylor(unet)
