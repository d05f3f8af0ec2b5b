"""Recipes: options to plain facts and back, what is refused, how network calls are counted, batches."""

import json
from dataclasses import fields, is_dataclass

import pytest
import torch
from PIL import Image

import samplers
from unetdiff.cli.generate import generate
from unetdiff.cli.loaded_model import LoadedModel
from unetdiff.cli.method import Method
from unetdiff.cli.recipe import (
    GROUPS,
    CacheOptions,
    GuidanceOptions,
    LevelOptions,
    Recipe,
    SamplerOptions,
    SkipOptions,
    StartOptions,
)
from unetdiff.sample_identity import Sample, Subject, Towards

EVERYTHING = Recipe(
    sampler=SamplerOptions(sampler="unipc", order=2, variant="bh1", lower_order_final=False),
    levels=LevelOptions(
        steps=5,
        sigma_min=0.02,
        restarts=(samplers.Restart(t_min=0.5, t_max=2.0, K=2, steps=2),),
        churn=samplers.Churn(S_churn=0.5),
    ),
    guidance=GuidanceOptions(guidance=2.0, guidance_interval="0.1,10", guidance_rescale=0.5, threshold="dynamic"),
    skips=SkipOptions(skip="0.8:0.9", skip_equal_width=True, skip_site="norm", skip_sigma="window:0.1,5"),
    cache=CacheOptions(cache_interval=2),
    start=StartOptions(start="pictures", strength=0.8, mask="mask.png"),
)


@pytest.fixture(scope="module")
def loaded(model):
    return LoadedModel.load(model, "cpu")


def samples(count):
    subjects = [Subject(kind="class", number=number, name="") for number in range(3)]
    return [Sample(seed=seed, subject=subjects[seed % 3]) for seed in range(count)]


def images(method, wanted, batch_size):
    return torch.cat([pictures for _, pictures in generate(method, wanted, batch_size)])


@pytest.mark.parametrize("recipe", [Recipe(), EVERYTHING], ids=["usual", "everything"])
def test_facts_are_json_and_lead_back(recipe, loaded):
    for one in (recipe, recipe.resolved(loaded)):
        assert Recipe.from_facts(json.loads(json.dumps(one.facts(), allow_nan=False))) == one


def test_a_resolved_recipe_stays_as_it_is(loaded):
    resolved = EVERYTHING.resolved(loaded)
    assert resolved.resolved(loaded) == resolved
    assert resolved.levels.sigma_max == 20.0
    assert resolved.levels.rho == 7.0
    assert resolved.cache.cache_skip is not None


def test_no_two_groups_have_an_option_of_the_same_name():
    names = [field.name for group in GROUPS.values() for field in fields(group)]
    assert len(names) == len(set(names))


def test_every_hyper_parameter_of_every_sampler_is_an_option():
    names = {field.name for field in fields(SamplerOptions)}
    for name, entry in samplers.SAMPLERS.items():
        assert is_dataclass(entry.make)
        assert set(SamplerOptions.options_of(name)) <= names


def test_every_option_of_every_grid_is_an_option():
    names = {field.name for field in fields(LevelOptions)}
    assert all(set(LevelOptions.options_of(name)) <= names for name in samplers.GRIDS)


@pytest.mark.parametrize(
    ("group", "options", "message"),
    [
        (SamplerOptions, {"sampler": "hewn"}, "sampler: expected one of euler, heun, "),
        (SamplerOptions, {"order": 2}, "order: expected an option of the sampler heun (it has none), got 2"),
        (SamplerOptions, {"sampler": "unipc", "eta": 1.0}, "the sampler unipc (order, variant, lower_order_final)"),
        (SamplerOptions, {"sampler": "ddim", "eta": 2.0}, "eta: expected a number in [0, 1], got 2.0"),
        (LevelOptions, {"steps": 0}, "steps: expected at least 1, got 0"),
        (LevelOptions, {"grid": "even"}, "grid: expected one of karras, exponential, "),
        (LevelOptions, {"grid": "vp", "rho": 3.0}, "rho: expected an option of the grid vp (beta_d, beta_min, eps_s)"),
        (LevelOptions, {"grid": "given"}, "levels: expected a list"),
        (GuidanceOptions, {"guidance": float("inf")}, "guidance: expected a finite number, got inf"),
        (GuidanceOptions, {"guidance_interval": "1"}, "guidance_interval: expected two noise levels, LO,HI, got '1'"),
        (GuidanceOptions, {"guidance_interval": "2,1"}, "interval: expected 0 <= lowest < highest"),
        (GuidanceOptions, {"guidance_rescale": 2.0}, "rescale: expected a number in [0, 1]"),
        (GuidanceOptions, {"threshold_quantile": 0.0}, "threshold_quantile: expected a number in (0, 1]"),
        (SkipOptions, {"skip": "0.8", "skip_scale": 0.9}, "skip_scale: expected 1 beside --skip"),
        (SkipOptions, {"skip": "a"}, "skip: expected auto, RHO_BOTTOM"),
        (SkipOptions, {"skip": "0.8:0.9:1"}, "skip: expected auto, RHO_BOTTOM"),
        (SkipOptions, {"skip": "-0.8"}, "rho_bottom: expected a finite number, 0 or more, got -0.8"),
        (SkipOptions, {"skip_sigma": "sometimes"}, "sigma: expected one of constant"),
        (SkipOptions, {"freeu": "1,1"}, "freeu: expected four factors, b1,b2,s1,s2, got '1,1'"),
        (CacheOptions, {"cache_interval": 0}, "cache_interval: expected at least 1, got 0"),
        (StartOptions, {"strength": 0.5}, "strength: expected nothing without --start, got 0.5"),
        (StartOptions, {"mask": "a.png"}, "mask: expected nothing without --start"),
        (StartOptions, {"start": "a.png", "strength": 0.0}, "strength: expected a number in (0, 1], got 0.0"),
    ],
)
def test_wrong_options_are_named(group, options, message):
    with pytest.raises(ValueError, match=".") as error:
        group(**options)
    assert message in str(error.value)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"skips": SkipOptions(skip="0.8,0.9")}, "rhos: expected one factor for each of 4 skips"),
        ({"levels": LevelOptions(sigma_min=30.0)}, "expected 0 < sigma_min < sigma_max, got 30.0, 20.0"),
        ({"levels": LevelOptions(grid="uniform-timesteps")}, "a model without a table of timesteps"),
        ({"start": StartOptions(start="a", strength=0.01)}, "a share that is at least one of 18 steps, got 0.01"),
        ({"guidance": GuidanceOptions(negative_prompt="blur")}, "negative_prompt: a model with text"),
    ],
)
def test_options_that_do_not_fit_the_model_are_named(loaded, options, message):
    with pytest.raises(ValueError, match=".") as error:
        Method.of(Recipe(**options), loaded)
    assert message in str(error.value)


@pytest.mark.parametrize(
    ("sampler", "guidance", "calls"),
    [
        ("heun", {}, 35),
        ("heun", {"guidance": 2.0}, 70),
        ("euler", {"guidance": 2.0, "guidance_interval": "0,0.0001"}, 18),
        ("dpmpp-2m", {"guidance": 2.0, "guidance_interval": "19,21"}, 19),  # the first of 18 levels
    ],
)
def test_network_calls_are_counted_with_guidance_where_it_acts(loaded, sampler, guidance, calls):
    recipe = Recipe(sampler=SamplerOptions(sampler=sampler), guidance=GuidanceOptions(**guidance))
    assert Method.of(recipe, loaded).calls == calls


@pytest.mark.parametrize("recipe", [Recipe(guidance=GuidanceOptions(guidance=2.0)), Recipe()], ids=["guided", "plain"])
def test_network_calls_are_those_that_are_made(loaded, recipe, monkeypatch):
    rows = 0

    def counted(module, inputs, output):
        nonlocal rows
        rows += len(inputs[0])

    method = Method.of(recipe, loaded)
    with loaded.denoiser.unet.register_forward_hook(counted):
        images(method, samples(3), batch_size=2)
    assert rows == 3 * method.calls


# Measured: at most 1.2e-6 between batches of 1, 3 and 7, for values up to 3.4.
BATCH_TOLERANCE = 3e-6


@pytest.mark.parametrize(
    "recipe",
    [
        Recipe(levels=LevelOptions(churn=samplers.Churn(S_churn=1.0)), guidance=GuidanceOptions(guidance=2.0)),
        Recipe(sampler=SamplerOptions(sampler="ddpm"), skips=SkipOptions(skip_scale=0.9)),
        Recipe(sampler=SamplerOptions(sampler="unipc")),
        Recipe(sampler=SamplerOptions(sampler="dpmpp-2m-sde")),
    ],
    ids=["churn", "ddpm", "unipc", "sde"],
)
def test_an_image_does_not_depend_on_its_batch(loaded, recipe):
    method, wanted = Method.of(recipe, loaded), samples(7)
    alone, few, together = (images(method, wanted, batch_size) for batch_size in (1, 3, 7))
    assert (alone - together).abs().max() < BATCH_TOLERANCE
    assert (few - together).abs().max() < BATCH_TOLERANCE
    assert (alone[0] - alone[3]).abs().max() > 0.1


def test_interpolation_joins_two_seeds(loaded):
    method = Method.of(Recipe(sampler=SamplerOptions(sampler="ddpm")), loaded)
    subject = Subject(kind="class", number=1, name="")
    ends = [Sample(seed=seed, subject=subject) for seed in (4, 9)]
    way = [Sample(seed=4, subject=subject, towards=Towards(seed=9, step=step, of=4)) for step in range(5)]
    row = images(method, way, batch_size=5)
    assert (row[[0, 4]] - images(method, ends, batch_size=2)).abs().max() < BATCH_TOLERANCE
    assert (row.diff(dim=0).abs().amax(dim=(1, 2, 3)) > 0.05).all()


def test_known_pixels_stay(loaded, tmp_path):
    mask = torch.zeros(8, 6, dtype=torch.uint8)
    mask[:, 3:] = 255
    Image.fromarray(mask.numpy()).save(tmp_path / "mask.png")
    recipe = Recipe(start=StartOptions(start="given", mask=str(tmp_path / "mask.png"))).resolved(loaded)
    assert recipe.start.strength == 1.0
    method = Method.of(recipe, loaded)
    picture = torch.full((1, 1, 8, 6), 0.25)
    denoise = method.bound({"class_labels": torch.tensor([0])}, {}, picture)
    result = denoise(torch.randn(1, 1, 8, 6), torch.tensor(3.0))
    assert torch.equal(result[..., :3], picture[..., :3])
    assert (result[..., 3:] != 0.25).all()
