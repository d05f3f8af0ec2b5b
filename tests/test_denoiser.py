import json
import math
import types
from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file

from unetdiff.config import AttentionConfig, LevelConfig, MidConfig, UNetConfig
from unetdiff.denoiser import Denoiser
from unetdiff.noise import DiscreteSchedule, IDDPMSchedule, VPSchedule
from unetdiff.preconditioning import (
    EDM,
    VE,
    X0,
    Consistency,
    EDMVelocity,
    Epsilon,
    RectifiedFlow,
    Score,
    V,
    preconditioning_from_dict,
    preconditioning_to_dict,
)
from unetdiff.unet import UNet

GOLDEN = load_file("tests/golden/edm_preconditioning.safetensors")
ALL = [EDM(sigma_data=0.7), VE(), Epsilon(), V(), X0(), RectifiedFlow(), Epsilon(schedule=VPSchedule())]
ALL += [EDM(noise_scale=250.0), EDMVelocity(), Consistency(), Score(), Epsilon(time_scale=0.25)]
ALL += [V(schedule=DiscreteSchedule(kind="table", steps=2, table=(0.1, 0.2)))]


class Function(torch.nn.Module):
    """A network given as a function of its input and the number that it is conditioned on."""

    dtype = torch.float64

    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, x, noise, return_dict, **condition):
        return (self.function(x, noise.reshape(-1, 1, 1, 1)),)


@pytest.mark.parametrize(
    ("name", "preconditioning"),
    [
        ("EDMPrecond", EDM()),
        ("VEPrecond", VE()),
        ("VPPrecond", Epsilon(schedule=VPSchedule())),
        ("iDDPMPrecond", Epsilon(schedule=IDDPMSchedule())),
    ],
)
def test_golden(name, preconditioning):
    network = Function(lambda x, noise: 0.3 * torch.tanh(x) + 0.1 * torch.sin(noise / 50))
    network.dtype = torch.float32
    denoised = Denoiser(network, preconditioning)(GOLDEN[f"{name}.x"], GOLDEN[f"{name}.sigma"])
    torch.testing.assert_close(denoised, GOLDEN[f"{name}.D"], rtol=1e-6, atol=1e-6)


def noisy(sigma):
    generator = torch.Generator().manual_seed(1)
    x0, eps = (torch.randn(5, 2, 3, 3, generator=generator, dtype=torch.float64) for _ in range(2))
    return x0, eps, x0 + sigma.reshape(-1, 1, 1, 1) * eps


@pytest.mark.parametrize("preconditioning", [Epsilon(), V(), X0(), RectifiedFlow()], ids=lambda p: type(p).__name__)
def test_the_perfect_prediction_gives_the_clean_image(preconditioning):
    """Each network's target, in the coordinates of its own paper, must come back as x0."""
    sigma = torch.tensor([0.02, 0.5, 1.0, 9.0, 100.0], dtype=torch.float64)
    x0, eps, x = noisy(sigma)
    s = sigma.reshape(-1, 1, 1, 1)
    root_alpha_bar, root_one_minus = 1 / (s**2 + 1).sqrt(), s / (s**2 + 1).sqrt()
    target = {"Epsilon": eps, "V": root_alpha_bar * eps - root_one_minus * x0, "X0": x0, "RectifiedFlow": eps - x0}
    seen = {}

    def network(scaled, noise):
        seen["x"], seen["noise"] = scaled, noise
        return target[type(preconditioning).__name__]

    denoised = Denoiser(Function(network), preconditioning)(x, sigma)
    torch.testing.assert_close(denoised, x0, rtol=0, atol=1e-12)
    if isinstance(preconditioning, RectifiedFlow):
        t = s / (1 + s)
        torch.testing.assert_close(seen["x"], (1 - t) * x0 + t * eps, rtol=0, atol=1e-12)
        torch.testing.assert_close(seen["noise"], 1000 * t, rtol=1e-12, atol=0)
    else:
        torch.testing.assert_close(seen["x"], root_alpha_bar * x0 + root_one_minus * eps, rtol=0, atol=1e-12)


def test_discrete_networks_are_given_their_timestep():
    schedule = DiscreteSchedule(kind="scaled_linear")
    seen = []
    network = Function(lambda x, noise: seen.append(noise.flatten()) or x)
    Denoiser(network, Epsilon(schedule=schedule))(
        torch.zeros(3, 1, 1, 1, dtype=torch.float64), schedule.sigmas[[0, 500, 999]]
    )
    assert seen[0].tolist() == [0, 500, 999]


def test_timesteps_may_be_scaled():
    schedule = DiscreteSchedule(steps=4000)
    scaled = Epsilon(schedule=schedule, time_scale=0.25).c_noise(schedule.sigmas[[0, 2, 3999]])
    assert scaled.tolist() == [0, 0.5, 999.75]
    sigma = torch.tensor([0.1, 7.0], dtype=torch.float64)
    torch.testing.assert_close(EDM(noise_scale=250.0).c_noise(sigma), 1000 * EDM().c_noise(sigma), rtol=1e-15, atol=0)


def test_consistency_models_leave_images_of_least_noise_alone():
    """Song et al. 2023, equation 5 and appendix C: f(x, sigma_min) = x."""
    network = Function(lambda scaled, noise: torch.full_like(scaled, 1e6))
    x = torch.randn(2, 1, 4, 4, dtype=torch.float64)
    assert torch.equal(Denoiser(network, Consistency(sigma_min=0.1))(x, 0.1), x)


def test_consistency_scalings():
    p, sigma = Consistency(sigma_min=0.1, sigma_data=0.7), torch.tensor(80.0, dtype=torch.float64)
    assert float(p.c_skip(sigma)) == pytest.approx(0.49 / 6384.5, rel=1e-14)  # 6384.5 = 79.9^2 + 0.49
    assert float(p.c_out(sigma)) == pytest.approx(55.93 / 6400.49**0.5, rel=1e-14)  # 55.93 = 79.9 * 0.7
    assert float(p.c_in(sigma)) == pytest.approx(1 / 6400.49**0.5, rel=1e-14)
    assert float(p.c_noise(sigma)) == pytest.approx(1000 * 0.25 * math.log(80), rel=1e-14)


def test_edm_velocity_of_unit_data_is_v():
    sigma = torch.logspace(-3, 3, 7, dtype=torch.float64)
    edm, v = EDMVelocity(sigma_data=1.0), V()
    for name in ("c_skip", "c_out", "c_in"):
        torch.testing.assert_close(getattr(edm, name)(sigma), getattr(v, name)(sigma), rtol=1e-14, atol=0)
    assert torch.equal(edm.c_noise(sigma), sigma.log() / 4)


def test_the_score_of_a_gaussian_gives_its_posterior_mean():
    """Tweedie: for data N(0, s^2) the score is -x / (s^2 + sigma^2), the posterior mean s^2 x / (s^2 + sigma^2)."""
    sigma, s = torch.tensor([0.1, 3.0, 400.0], dtype=torch.float64), 0.6
    x = torch.randn(3, 1, 2, 2, dtype=torch.float64)
    denoised = Denoiser(Function(lambda noisy, noise: -noisy / (s**2 + noise**2)), Score())(x, sigma)
    expected = s**2 * x / (s**2 + sigma.reshape(-1, 1, 1, 1) ** 2)
    torch.testing.assert_close(denoised, expected, rtol=0, atol=1e-14)


def test_edm_has_unit_variance_at_both_ends_of_the_network():
    """Appendix B.6: input and training target have variance one for data of standard deviation sigma_data."""
    p, sigma = EDM(sigma_data=0.7), torch.logspace(-3, 3, 25, dtype=torch.float64)
    input_variance = p.c_in(sigma) ** 2 * (0.7**2 + sigma**2)
    target_variance = ((1 - p.c_skip(sigma)) ** 2 * 0.7**2 + p.c_skip(sigma) ** 2 * sigma**2) / p.c_out(sigma) ** 2
    torch.testing.assert_close(input_variance, torch.ones_like(sigma), rtol=1e-12, atol=0)
    torch.testing.assert_close(target_variance, torch.ones_like(sigma), rtol=1e-9, atol=0)


@pytest.mark.parametrize("preconditioning", ALL, ids=repr)
def test_preconditioning_survives_json(preconditioning):
    assert (
        preconditioning_from_dict(json.loads(json.dumps(preconditioning_to_dict(preconditioning)))) == preconditioning
    )


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"kind": "edm"}, r"preconditioning.kind: expected one of \['EDM', .*\], got 'edm'"),
        ({"kind": "EDM", "sigma_dat": 1.0}, r"preconditioning: expected fields among"),
        ({"kind": "EDM", "sigma_data": 0.0}, "sigma_data: expected a positive number"),
        ({"kind": "Consistency", "noise_scale": 0.0}, "noise_scale: expected a positive number"),
        ({"kind": "Epsilon", "time_scale": 0.0}, "time_scale: expected a positive number"),
        ({"kind": "Epsilon", "schedule": {"beta": 1}}, r"preconditioning.schedule: expected fields among"),
    ],
)
def test_bad_preconditioning_is_named(values, message):
    with pytest.raises(ValueError, match=message):
        preconditioning_from_dict(values)


def test_a_scalar_sigma_is_the_same_as_one_per_image():
    unet = UNet(UNetConfig(levels=(LevelConfig(channels=8, depth=1),), in_channels=1, out_channels=1))
    torch.nn.init.normal_(unet.conv_out.weight)
    denoiser, x = Denoiser(unet, EDM()), torch.randn(3, 1, 6, 5)
    torch.testing.assert_close(denoiser(x, 0.3), denoiser(x, torch.full((3,), 0.3)), rtol=0, atol=1e-6)


def test_the_estimate_keeps_the_precision_of_the_noisy_image():
    unet = UNet(UNetConfig(levels=(LevelConfig(channels=8, depth=1),))).to(torch.bfloat16)
    denoised = Denoiser(unet, EDM())(
        torch.randn(1, 3, 4, 4, dtype=torch.float64), torch.tensor(0.1, dtype=torch.float64)
    )
    assert denoised.dtype == torch.float64


def test_all_that_a_network_is_told_takes_its_precision():
    config = UNetConfig(levels=(LevelConfig(channels=8, depth=1),), cross_attention_dim=4, vector_channels=3)
    config = replace(config, mid=MidConfig(attention=AttentionConfig(kind="transformer")))
    told = {"encoder_hidden_states": torch.randn(1, 2, 4), "vector": torch.randn(1, 3)}
    denoised = Denoiser(UNet(config).to(torch.bfloat16), EDM())(torch.randn(1, 3, 4, 4), 0.5, **told)
    assert denoised.isfinite().all()


def test_conditioning_reaches_the_network():
    seen = types.SimpleNamespace()

    class Network(torch.nn.Module):
        dtype = torch.float32

        def forward(self, x, noise, return_dict, **condition):
            seen.condition = condition
            return (x,)

    Denoiser(Network(), EDM())(torch.zeros(1, 1, 2, 2), 1.0, class_labels=torch.tensor([3]), skip_scale=0.9)
    assert seen.condition == {"class_labels": torch.tensor([3]), "skip_scale": 0.9}


@pytest.mark.parametrize("preconditioning", ALL, ids=repr)
@pytest.mark.parametrize("name", ["c_skip", "c_out", "c_in", "c_noise"])
def test_a_number_gives_what_a_tensor_gives(preconditioning, name):
    scaling, sigma = getattr(preconditioning, name), torch.logspace(-2, 2, 9, dtype=torch.float64)
    numbers = [scaling(level) for level in sigma.tolist()]
    assert {type(number) for number in numbers} == {float}
    assert scaling(sigma.float()).dtype == torch.float32
    torch.testing.assert_close(torch.tensor(numbers, dtype=torch.float64), scaling(sigma), rtol=1e-14, atol=0)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_network_is_given_a_tensor_whatever_sigma_is(dtype):
    seen = []
    network = Function(lambda x, noise: seen.append(noise.flatten()) or x)
    for sigma in (0.1, torch.tensor(0.1, dtype=dtype), torch.full((2,), 0.1, dtype=dtype)):
        Denoiser(network, EDM())(torch.zeros(2, 1, 1, 1, dtype=dtype), sigma)
    assert [noise.dtype for noise in seen] == [torch.float32, dtype, dtype]
    torch.testing.assert_close(torch.cat(seen), torch.full((4,), math.log(0.1) / 4, dtype=dtype), rtol=2e-7, atol=0)
