"""Guidance: closed forms on Gaussians, how often the network is called, and what must not change."""

import math
from functools import partial

import pytest
import torch

from samplers import Guidance, Heun, PerImageNoise, UniPC, guided, guided_in_one_call, karras, sample

SHAPE = (2, 3, 3)
SIGMA = torch.tensor(0.7, dtype=torch.float64)
LABELS = torch.tensor([2.0, -1.0, 0.5])
NULL = torch.zeros(3)


class Network:
    """A denoiser with a condition; it works on every row alone and remembers how many it was given."""

    def __init__(self):
        self.rows = []

    def __call__(self, x, sigma, label, gain=1.0):
        self.rows.append(len(x))
        sigma, label = (torch.as_tensor(values).reshape(-1, 1, 1, 1) for values in (sigma, label))
        return gain * torch.tanh(x / (1 + sigma**2) ** 0.5 + label) + 0.1 * x.roll(1, dims=-1) * label


@pytest.fixture
def network():
    return Network()


@pytest.fixture
def x():
    return 3 * PerImageNoise([0, 1, 2], SHAPE)()


def two_calls(network, guidance, labels=LABELS):
    return guided(partial(network, label=labels), partial(network, label=NULL[: len(labels)]), guidance)


def one_call(network, guidance, labels=LABELS):
    return guided_in_one_call(network, {"label": labels}, {"label": NULL[:1]}, guidance)


@pytest.fixture(params=[two_calls, one_call], ids=lambda form: form.__name__)
def form(request):
    return request.param


def normal(mean, std):
    """The exact denoiser of data from N(mean, std^2)."""
    return lambda x, sigma: (std**2 * x + sigma**2 * mean) / (std**2 + sigma**2)


@pytest.mark.parametrize("weight", [0.0, 0.5, 1.0, 3.0])
@pytest.mark.parametrize(("std", "poorer_std"), [(0.5, 0.5), (0.5, 0.8)], ids=["unconditional", "weaker"])
def test_the_score_is_that_of_the_product_of_powers(weight, std, poorer_std):
    """At every noise level D = x + sigma^2 grad log(p_1^w p_0^(1 - w)), Ho & Salimans 2022, equation (6)."""
    x = torch.linspace(-3, 3, 9, dtype=torch.float64)
    D = guided(normal(1.5, std), normal(-0.5, poorer_std), Guidance(weight=weight))(x, SIGMA)
    precision, poorer_precision = weight / (std**2 + SIGMA**2), (1 - weight) / (poorer_std**2 + SIGMA**2)
    score = -precision * (x - 1.5) - poorer_precision * (x + 0.5)
    torch.testing.assert_close(D, x + SIGMA**2 * score, rtol=0, atol=1e-14)


@pytest.mark.parametrize("sampler", [Heun(), UniPC()], ids=repr)
def test_between_gaussians_of_one_width_the_mean_is_moved(sampler):
    """Guided sampling is then sampling from N(m_0 + w (m_1 - m_0), std^2)."""
    x = 80 * torch.linspace(-2, 2, 9, dtype=torch.float64)
    moved = sample(normal(-0.5 + 3.0 * 2.0, 0.5), x, karras(8), sampler)
    denoise = guided(normal(1.5, 0.5), normal(-0.5, 0.5), Guidance(weight=3.0))
    torch.testing.assert_close(sample(denoise, x, karras(8), sampler), moved, rtol=0, atol=1e-12)


def test_weight_1_is_bitwise_the_denoiser_and_calls_nothing_else(form, network, x):
    plain = sample(partial(network, label=LABELS), 80 * x, karras(5), Heun())
    network.rows.clear()
    denoise = form(network, Guidance(weight=1.0, rescale=0.7))
    assert torch.equal(sample(denoise, 80 * x, karras(5), Heun()), plain)
    assert network.rows == [3] * 9


@pytest.mark.parametrize(("form", "rows"), [(two_calls, [3, 3]), (one_call, [6])], ids=["two calls", "one call"])
@pytest.mark.parametrize(("sigma", "inside"), [(0.2, False), (0.21, True), (3.0, True), (3.01, False)])
@pytest.mark.parametrize("kind", [float, torch.tensor])
def test_the_poorer_half_is_computed_inside_the_interval_only(network, x, form, rows, kind, sigma, inside):
    D = form(network, Guidance(weight=4.0, interval=(0.2, 3.0)))(x, kind(sigma))
    assert network.rows == (rows if inside else [3])
    assert torch.equal(D, network(x, kind(sigma), LABELS)) == (not inside)


def test_one_batched_call_a_network_call(network, x):
    sample(one_call(network, Guidance(weight=2.0)), 80 * x, karras(6), Heun())
    assert network.rows == [6] * Heun().network_calls(karras(6))


@pytest.mark.parametrize("sigma", [torch.tensor(1.3), torch.tensor([0.1, 1.0, 5.0])], ids=["one level", "row by row"])
@pytest.mark.parametrize("weight", [0.0, 2.5, torch.tensor([0.5, 1.0, 4.0])], ids=str)
@pytest.mark.parametrize("rescale", [0.0, 0.7])
def test_one_call_is_two_calls(x, sigma, weight, rescale):
    """Through a convolution, whose rounding may depend on the length of the batch."""
    weights = torch.linspace(-0.5, 0.7, 36).reshape(2, 2, 3, 3)

    def network(x, sigma, label):
        h = torch.nn.functional.conv2d(x, weights, padding=1)
        return torch.tanh(h / (1 + sigma.reshape(-1, 1, 1, 1)) + label.reshape(-1, 1, 1, 1))

    guidance = Guidance(weight=weight, rescale=rescale, interval=(0.0, 4.0))
    one, two = (form(network, guidance)(x, sigma) for form in (one_call, two_calls))
    torch.testing.assert_close(one, two, rtol=0, atol=2e-6)


def test_what_both_halves_share_is_bound_before(network, x):
    guidance, sigma = Guidance(weight=3.0), torch.tensor(1.0)
    halved = one_call(partial(network, gain=0.5), guidance)(x, sigma)
    torch.testing.assert_close(halved, two_calls(partial(network, gain=0.5), guidance)(x, sigma), rtol=0, atol=0)
    assert not torch.allclose(halved, one_call(network, guidance)(x, sigma))


def test_the_interval_holds_row_by_row(form, network, x):
    guidance, sigmas = Guidance(weight=4.0, interval=(0.2, 3.0)), torch.tensor([0.1, 1.0, 5.0])
    alone = torch.cat([form(network, guidance, LABELS[i : i + 1])(x[i : i + 1], sigmas[i]) for i in range(3)])
    assert torch.equal(form(network, guidance)(x, sigmas), alone)


def test_a_weight_for_each_image(form, network, x):
    weights, sigma = torch.tensor([1.0, 0.5, 4.0]), torch.tensor(1.0)
    D = form(network, Guidance(weight=weights))(x, sigma)
    alone = [
        form(network, Guidance(weight=weight), LABELS[i : i + 1])(x[i : i + 1], sigma)
        for i, weight in enumerate(weights.tolist())
    ]
    assert torch.equal(D, torch.cat(alone))
    assert torch.equal(D[0], network(x, sigma, LABELS)[0])


def test_weights_of_1_for_all_images_call_nothing_else(form, network, x):
    form(network, Guidance(weight=torch.ones(3)))(x, torch.tensor(1.0))
    assert network.rows == [3]


def test_a_weight_that_depends_on_the_noise_level(form, network, x):
    guidance = Guidance(weight=lambda sigma: 1 + sigma.clamp(max=2), interval=(0.0, 4.0))
    for sigma, weight in [(0.5, 1.5), (3.0, 3.0), (5.0, 1.0)]:
        expected = form(network, Guidance(weight=weight))(x, torch.tensor(sigma))
        torch.testing.assert_close(form(network, guidance)(x, torch.tensor(sigma)), expected, rtol=0, atol=0)


@pytest.mark.parametrize("weight", [2.3, torch.tensor([2.3, 2.3, 2.3], dtype=torch.float64)], ids=["number", "tensor"])
@pytest.mark.parametrize("interval", [(0.0, math.inf), (0.1, 5.0)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_weight_has_the_precision_of_x(weight, interval, dtype):
    x = torch.full((3, 1, 1, 1), 2.0, dtype=dtype)
    denoise = guided(lambda x, sigma: x, lambda x, sigma: 0 * x, Guidance(weight=weight, interval=interval))
    torch.testing.assert_close(denoise(x, x.new_tensor(0.7)), 2.3 * x, rtol=2 * torch.finfo(dtype).eps, atol=0)


@pytest.mark.parametrize("phi", [0.25, 1.0])
def test_rescaling_gives_the_standard_deviation_back(form, network, x, phi):
    sigma = torch.tensor(1.0)
    main, plain = network(x, sigma, LABELS), form(network, Guidance(weight=6.0))(x, sigma)
    D = form(network, Guidance(weight=6.0, rescale=phi))(x, sigma)
    std_main, std_plain, std = (image.flatten(1).std(1) for image in (main, plain, D))
    assert (std_plain - std_main).abs().min() > 0.1
    expected = phi * std_main + (1 - phi) * std_plain
    torch.testing.assert_close(std, expected, rtol=1e-6, atol=0)
    torch.testing.assert_close(D, plain * (expected / std_plain).reshape(-1, 1, 1, 1), rtol=0, atol=2e-6)


def test_rescaling_leaves_rows_of_weight_1_and_flat_images_alone(x):
    x[2] = 0.5
    guidance = Guidance(weight=torch.tensor([1.0, 3.0, 3.0]), rescale=0.7)
    D = guided(lambda x, sigma: x, lambda x, sigma: x / 2 - 1, guidance)(x, torch.tensor(1.0))
    assert torch.equal(D[0], x[0])
    torch.testing.assert_close(D[2], x[2] + 2 * (x[2] / 2 + 1), rtol=0, atol=1e-6)


@pytest.mark.parametrize("sampler", [Heun(), UniPC()], ids=repr)
def test_a_guided_image_depends_on_its_seed_and_not_on_its_batch(form, network, sampler):
    def run(rows):
        noise = PerImageNoise([7, 8, 9][rows], SHAPE)
        weights = torch.tensor([1.5, 3.0, 6.0])[rows]
        guidance = Guidance(weight=weights, interval=(0.1, 10.0), rescale=0.5)
        return sample(form(network, guidance, LABELS[rows]), 80 * noise(), karras(6), sampler)

    alone = torch.cat([run(slice(i, i + 1)) for i in range(3)])
    assert torch.equal(run(slice(3)), alone)


def test_guidance_of_a_guided_denoiser_nests():
    """Autoguidance on top of classifier-free guidance: each weight acts on what it is given."""
    conditional, unconditional, weak = (lambda x, sigma, c=c: c * x for c in (0.9, 0.5, 0.3))
    inner = guided(conditional, unconditional, Guidance(weight=2.0))
    D = guided(inner, weak, Guidance(weight=3.0))(torch.ones(1), torch.tensor(1.0))
    assert float(D) == pytest.approx(0.3 + 3 * (0.5 + 2 * 0.4 - 0.3), abs=1e-6)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"weight": math.nan}, "weight: expected a finite number, got nan"),
        ({"weight": torch.tensor([1.0, math.inf])}, "weight: expected a finite number, got tensor"),
        ({"weight": 2.0, "interval": (1.0, 1.0)}, "interval: expected 0 <= lowest < highest, got (1.0, 1.0)"),
        ({"weight": 2.0, "interval": (-1.0, 1.0)}, "interval: expected 0 <= lowest < highest"),
        ({"weight": 2.0, "interval": (math.nan, 1.0)}, "interval: expected 0 <= lowest < highest"),
        ({"weight": 2.0, "rescale": 1.1}, "rescale: expected a number in [0, 1], got 1.1"),
    ],
)
def test_bad_guidance_is_named(fields, message):
    with pytest.raises(ValueError, match="^" + message.replace("(", r"\(").replace("[", r"\[").replace(")", r"\)")):
        Guidance(**fields)
