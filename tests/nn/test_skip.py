"""Where a skip joins: the three sites of rho on one block by hand, and in whole networks."""

import copy

import pytest
import torch
from torch.nn import functional as F

from benchmarks.layouts import randomise
from unetdiff.config import AttentionConfig, LevelConfig, MidConfig, ResnetConfig, UNetConfig
from unetdiff.nn.resnet import ResnetBlock
from unetdiff.nn.skip import Joint
from unetdiff.nodes import Node
from unetdiff.unet import UNet

SITES = ("concat", "residual", "norm")
WIDTHS = ((8, 8), (16, 8), (8, 16))  # of main path and skip; 4 groups of 24 mix the two
RHO = 0.37

EDM_LIKE = UNetConfig(
    levels=(LevelConfig(channels=8, depth=1), LevelConfig(channels=16, depth=1, attention=AttentionConfig(heads=2))),
    mid=MidConfig(),
    resnet=ResnetConfig(time_conditioning="scale_shift", residual_scale=0.5**0.5, norm_min_channels=4),
    downsample="resnet",
    upsample="resnet",
)


def node(main, skip):
    return Node(
        name="up_blocks.0.resnets.0",
        kind="resnet",
        level=0,
        in_channels=main,
        skip_channels=skip,
        skip_from="there",
        out_channels=8,
        stride=1,
    )


def joint(*, site="concat", factor=RHO, residuals=None, join=None):
    factors = {} if factor is None else {"there": factor}
    return Joint(residuals=residuals or {}, join=join, factors=factors, site=site)


def block_of(channels, out=8, groups=4, eps=1e-5):
    block = ResnetBlock(channels, out, 6, ResnetConfig(norm_groups=groups, norm_eps=eps)).double()
    randomise(block)
    return block.eval()


def tensors(main, skip):
    return (torch.randn(2, channels, 4, 4, dtype=torch.float64) for channels in (main, skip))


def by_hand(block, u, d, embedding, *, concat=1.0, residual=1.0, norm=1.0):
    """The block's formula, with rho in three places."""
    x = torch.cat([u, concat * d], dim=1)
    normed = F.group_norm(x, block.norm1.num_groups, block.norm1.weight, block.norm1.bias, block.norm1.eps)
    normed = torch.cat([normed[:, : u.shape[1]], norm * normed[:, u.shape[1] :]], dim=1)
    h = block.conv1(normed * normed.sigmoid()) + block.time_emb_proj(embedding)[:, :, None, None]
    h = block.norm2(h)
    shortcut = torch.cat([u, residual * concat * d], dim=1)
    if block.conv_shortcut is not None:
        shortcut = block.conv_shortcut(shortcut)
    return shortcut + block.conv2(h * h.sigmoid())


@pytest.mark.parametrize("site", SITES)
@pytest.mark.parametrize(("main", "skip"), WIDTHS)
def test_each_site_on_a_block_by_hand(site, main, skip):
    block, (u, d), embedding = block_of(main + skip), tensors(main, skip), torch.randn(2, 6, dtype=torch.float64)
    out = block(*with_embedding(joint(site=site)(node(main, skip), u, d), embedding))
    expected = by_hand(block, u, d, embedding, **{site: RHO})
    torch.testing.assert_close(out, expected, rtol=1e-12, atol=1e-12)
    assert not torch.allclose(out, by_hand(block, u, d, embedding), rtol=1e-3)


def with_embedding(joined, embedding):
    x, *scales = joined
    return (x, embedding, *scales)


@pytest.mark.parametrize("site", SITES)
def test_each_image_can_have_its_own_factor(site):
    block, (u, d), embedding = block_of(24), tensors(16, 8), torch.randn(2, 6, dtype=torch.float64)
    rho = torch.tensor([0.2, 0.9])
    together = block(*with_embedding(joint(site=site, factor=rho)(node(16, 8), u, d), embedding))
    for row in range(2):
        one = slice(row, row + 1)
        expected = by_hand(block, u[one], d[one], embedding[one], **{site: rho[row].double()})
        torch.testing.assert_close(together[one], expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("site", ["residual", "norm"])
def test_a_shortcut_without_projection_is_scaled_on_the_skips_channels(site):
    block, (u, d), embedding = block_of(24, out=24), tensors(16, 8), torch.randn(2, 6, dtype=torch.float64)
    assert block.conv_shortcut is None
    out = block(*with_embedding(joint(site=site)(node(16, 8), u, d), embedding))
    torch.testing.assert_close(out, by_hand(block, u, d, embedding, **{site: RHO}), rtol=1e-12, atol=1e-12)


def test_a_norm_whose_groups_do_not_mix_cancels_the_factor():
    """Appendix C: what is left of the concatenation's factor is then the shortcut's; mixed groups keep some."""
    embedding = torch.randn(2, 6, dtype=torch.float64)
    for main, skip, cancelled in ((8, 8, True), (16, 8, False)):
        block, (u, d) = block_of(main + skip, eps=1e-14), tensors(main, skip)
        concat, residual = (
            block(*with_embedding(joint(site=site)(node(main, skip), u, d), embedding))
            for site in ("concat", "residual")
        )
        assert torch.allclose(concat, residual, rtol=1e-10, atol=1e-10) == cancelled


def test_residuals_come_before_the_join_and_the_join_before_the_factor():
    (u, d), r = tensors(8, 8), torch.randn(2, 8, 4, 4, dtype=torch.float64)
    joined = joint(residuals={"there": r}, join=lambda node, u, d: (u + 1, d.square()))(node(8, 8), u, d)
    torch.testing.assert_close(joined.x, torch.cat([u + 1, RHO * (d + r).square()], dim=1), rtol=1e-14, atol=0)


@pytest.fixture
def unet():
    network = UNet(EDM_LIKE).eval()
    randomise(network)
    return network


@pytest.fixture
def values():
    return {"sample": torch.randn(2, 3, 8, 8), "timestep": torch.tensor([0.3, 1.2])}


@pytest.mark.parametrize("site", SITES)
def test_one_is_bitwise_the_plain_result_at_every_site(unet, values, site):
    plain = unet(**values).sample
    for scale in (1.0, torch.ones(len(unet.skips)), torch.ones(2, len(unet.skips))):
        assert torch.equal(unet(**values, skip_scale=scale, skip_site=site).sample, plain)


@pytest.mark.parametrize("site", SITES)
def test_every_skip_has_every_site(unet, values, site):
    plain = unet(**values).sample
    changed = [unet(**values, skip_scale={name: 0.5}, skip_site=site).sample for name in unet.skips]
    assert all(not torch.allclose(one, plain, rtol=1e-3) for one in changed)


@pytest.mark.parametrize("site", SITES)
def test_full_graph_at_every_site(values, site):
    unet = UNet(UNetConfig(levels=EDM_LIKE.levels[:1], mid=None)).eval()
    randomise(unet)
    compiled = torch.compile(unet, fullgraph=True, backend="eager")
    scale = torch.linspace(0.5, 1.0, len(unet.skips))
    out = compiled(**values, skip_scale=scale, skip_site=site).sample
    torch._dynamo.reset()
    assert torch.equal(out, unet(**values, skip_scale=scale, skip_site=site).sample)


@pytest.mark.parametrize("site", SITES)
def test_gradient_checkpointing_at_every_site(unet, values, site):
    plain = copy.deepcopy(unet).train()
    unet.train().enable_gradient_checkpointing()
    scales = [torch.linspace(0.5, 1.0, len(unet.skips)).requires_grad_() for _ in range(2)]
    for network, scale in zip((plain, unet), scales, strict=True):
        network(**values, skip_scale=scale, skip_site=site).sample.square().mean().backward()
    assert scales[0].grad.all()
    assert torch.equal(scales[0].grad, scales[1].grad)
    assert all(torch.equal(a.grad, b.grad) for a, b in zip(plain.parameters(), unet.parameters(), strict=True))


def test_pipelines_pass_it_as_cross_attention_settings(unet, values):
    direct = unet(**values, skip_scale=0.7, skip_site="norm").sample
    passed = {"skip_scale": 0.7, "skip_site": "norm", "scale": 1.0}
    assert torch.equal(unet(**values, cross_attention_kwargs=passed).sample, direct)
    assert torch.equal(unet(**values, skip_scale=0.7, cross_attention_kwargs={"skip_site": "norm"}).sample, direct)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"skip_site": "shortcut"}, r"skip_site: expected one of \['concat', 'residual', 'norm'\], got 'shortcut'"),
        ({"cross_attention_kwargs": {"skip_site": "mid"}}, "skip_site: expected one of"),
        (
            {"skip_scale": 0.5, "cross_attention_kwargs": {"skip_scale": 0.5}},
            "skip_scale: expected it once, got it as an argument and in cross_attention_kwargs",
        ),
        ({"cross_attention_kwargs": {"skip_scales": 1}}, r"expected scale, skip_scale and skip_site, got \['skip_sca"),
    ],
)
def test_wrong_settings_are_named(unet, values, arguments, message):
    with pytest.raises(ValueError, match=message):
        unet(**values, **arguments)
