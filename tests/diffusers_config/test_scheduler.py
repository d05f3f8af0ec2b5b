import inspect
import itertools
import json

import diffusers
import pytest
import torch

from unetdiff.diffusers_config.scheduler import preconditioning_from_scheduler
from unetdiff.preconditioning import V, preconditioning_from_dict

# diffusers' schedulers hand tensors to numpy in a way that numpy 2 is giving up
pytestmark = pytest.mark.filterwarnings("ignore:__array_:DeprecationWarning")

BY_SIGNAL = ["DDPMScheduler", "DDPMParallelScheduler", "DDIMScheduler", "DDIMParallelScheduler", "UnCLIPScheduler"]
BY_SIGMA = [
    "EulerDiscreteScheduler",
    "EulerAncestralDiscreteScheduler",
    "LMSDiscreteScheduler",
    "HeunDiscreteScheduler",
    "KDPM2DiscreteScheduler",
    "KDPM2AncestralDiscreteScheduler",
]
BY_CONVERSION = [
    "DPMSolverMultistepScheduler",
    "DPMSolverSinglestepScheduler",
    "UniPCMultistepScheduler",
    "SASolverScheduler",
]
OTHERS = [
    "PNDMScheduler",
    "DEISMultistepScheduler",
    "LCMScheduler",
    "TCDScheduler",
    "DDIMInverseScheduler",
    "DPMSolverMultistepInverseScheduler",
    "RePaintScheduler",
]
PREDICTIONS = ["epsilon", "v_prediction", "sample"]
NOT_THEIRS = [
    ("UnCLIPScheduler", "v_prediction"),
    *((name, "sample") for name in BY_SIGMA if name.startswith(("KDPM2", "EulerAncestral"))),
]


def scheduler(name, **fields):
    """The scheduler with those of the fields that its class knows, and without clipping."""
    cls = getattr(diffusers, name)
    known = inspect.signature(cls.__init__).parameters
    return cls(**{key: value for key, value in ({"clip_sample": False} | fields).items() if key in known})


def preconditioning(theirs):
    """By way of the text of `scheduler_config.json`."""
    return preconditioning_from_dict(preconditioning_from_scheduler(json.loads(theirs.to_json_string())))


def draw():
    generator = torch.Generator().manual_seed(0)
    return (torch.randn(2, 3, 4, 4, dtype=torch.float64, generator=generator) for _ in range(2))


def check(theirs, timestep, sigma, x, network, x0):
    """Our estimate from what their network was given: x / c_in(sigma), of noise level sigma, and the timestep."""
    ours = preconditioning(theirs)
    sigma = torch.as_tensor(sigma, dtype=torch.float64)
    estimate = ours.c_skip(sigma) * x / ours.c_in(sigma) + ours.c_out(sigma) * network
    torch.testing.assert_close(estimate, x0.double(), rtol=1e-5, atol=1e-5 * float(x0.abs().max()))
    timestep = torch.as_tensor(timestep, dtype=torch.float64)
    # a rounding of sigma in float32 moves the timestep this far
    torch.testing.assert_close(ours.c_noise(sigma), timestep, rtol=1e-5, atol=5e-3)


WITH_BETAS = [name for name in BY_SIGNAL + BY_SIGMA + BY_CONVERSION + OTHERS if name != "UnCLIPScheduler"]
BETA_SCHEDULES = [
    *itertools.product(WITH_BETAS, ("linear", "scaled_linear", "squaredcos_cap_v2")),
    ("UnCLIPScheduler", "squaredcos_cap_v2"),
    ("DDPMScheduler", "sigmoid"),
    ("DDPMScheduler", "laplace"),
    ("HeunDiscreteScheduler", "exp"),
]


@pytest.mark.parametrize(("name", "schedule"), BETA_SCHEDULES)
def test_noise_levels_are_the_schedulers(name, schedule):
    theirs = scheduler(name, beta_schedule=schedule, num_train_timesteps=100)
    ours = preconditioning(theirs).schedule.alphas_cumprod
    # theirs is a product of 100 factors 1 - beta, each rounded by 2^-24, and the last beta may be 0.999
    torch.testing.assert_close(ours[:-1], theirs.alphas_cumprod[:-1].double(), rtol=6e-6, atol=0)
    torch.testing.assert_close(ours[-1], theirs.alphas_cumprod[-1].double(), rtol=1e-4, atol=0)


@pytest.mark.parametrize("name", ["DDPMScheduler", "EulerDiscreteScheduler", "UniPCMultistepScheduler"])
def test_zero_terminal_snr(name):
    theirs = scheduler(name, rescale_betas_zero_snr=True, beta_schedule="scaled_linear")
    ours = preconditioning(theirs)
    torch.testing.assert_close(
        ours.schedule.alphas_cumprod[:-1], theirs.alphas_cumprod[:-1].double(), rtol=2e-5, atol=0
    )
    assert ours.sigma_range[1] >= 4095


@pytest.mark.parametrize("name", ["DDPMScheduler", "DPMSolverMultistepScheduler"])
def test_trained_betas_are_taken_as_they_are(name):
    betas = [0.01, 0.5, 0.2, 0.03]
    ours = preconditioning(scheduler(name, trained_betas=betas, num_train_timesteps=4))
    assert ours.schedule.betas.tolist() == betas


@pytest.mark.parametrize(
    ("name", "prediction"), [pair for pair in itertools.product(BY_SIGNAL, PREDICTIONS) if pair not in NOT_THEIRS]
)
def test_estimates_in_signal_coordinates(name, prediction):
    theirs = scheduler(name, prediction_type=prediction, beta_schedule="squaredcos_cap_v2")
    theirs.set_timesteps(1000)
    x, network = draw()
    for timestep in (1, 99, 600, 990):
        alpha_bar = theirs.alphas_cumprod[timestep].double()
        x0 = theirs.step(network, timestep, x).pred_original_sample
        check(theirs, timestep, ((1 - alpha_bar) / alpha_bar).sqrt(), x, network, x0)


@pytest.mark.parametrize(
    ("name", "prediction"), [pair for pair in itertools.product(BY_SIGMA, PREDICTIONS) if pair not in NOT_THEIRS]
)
def test_estimates_in_sigma_coordinates(name, prediction):
    x, network = draw()
    for index in (0, 40, 98):
        theirs = scheduler(name, prediction_type=prediction, num_train_timesteps=100)
        theirs.set_timesteps(100)
        theirs.set_begin_index(index)
        timestep, sigma = theirs.timesteps[index], theirs.sigmas[index]
        scaled = theirs.scale_model_input(x, timestep)
        x0 = theirs.step(network, timestep, x).pred_original_sample
        check(theirs, timestep, sigma, scaled, network, x0)


@pytest.mark.parametrize("prediction", PREDICTIONS)
@pytest.mark.parametrize("name", BY_CONVERSION)
def test_estimates_of_multistep_solvers(name, prediction):
    theirs = scheduler(name, prediction_type=prediction)
    theirs.set_timesteps(1000)
    x, network = draw()
    for index in (0, 400, 980):
        theirs._step_index = index
        x0 = theirs.convert_model_output(network, sample=x)
        check(theirs, theirs.timesteps[index], theirs.sigmas[index], x, network, x0)


@pytest.mark.parametrize("prediction", PREDICTIONS)
def test_estimates_of_deis(prediction):
    """It converts to the noise."""
    theirs = scheduler("DEISMultistepScheduler", prediction_type=prediction)
    theirs.set_timesteps(1000)
    x, network = draw()
    for index in (0, 400, 980):
        theirs._step_index = index
        sigma = theirs.sigmas[index].double()
        x0 = x * (1 + sigma**2).sqrt() - sigma * theirs.convert_model_output(network, sample=x)
        check(theirs, theirs.timesteps[index], sigma, x, network, x0)


@pytest.mark.parametrize("prediction", ["epsilon", "v_prediction"])
def test_estimates_of_pndm(prediction):
    """Its step to no noise at all gives the estimate."""
    theirs = scheduler("PNDMScheduler", prediction_type=prediction, set_alpha_to_one=True)
    x, network = draw()
    for timestep in (1, 400, 980):
        alpha_bar = theirs.alphas_cumprod[timestep].double()
        x0 = theirs._get_prev_sample(x, timestep, -1, network)
        check(theirs, timestep, ((1 - alpha_bar) / alpha_bar).sqrt(), x, network, x0)


@pytest.mark.parametrize("prediction", PREDICTIONS)
def test_estimates_of_latent_consistency_models(prediction):
    theirs = scheduler("LCMScheduler", prediction_type=prediction)
    theirs.set_timesteps(4)
    x, network = draw()
    for timestep in theirs.timesteps:
        alpha_bar = theirs.alphas_cumprod[timestep].double()
        x0 = theirs.step(network, timestep, x, generator=torch.Generator().manual_seed(0)).denoised
        check(theirs, timestep, ((1 - alpha_bar) / alpha_bar).sqrt(), x, network, x0)


@pytest.mark.parametrize(
    "name", ["UniPCMultistepScheduler", "DPMSolverMultistepScheduler", "DPMSolverSinglestepScheduler"]
)
def test_flows_of_multistep_solvers(name):
    theirs = scheduler(name, prediction_type="flow_prediction", use_flow_sigmas=True, flow_shift=3.0)
    theirs.set_timesteps(100)
    x, network = draw()
    for index in (1, 40, 98):
        theirs._step_index = index
        t = theirs.sigmas[index].double()
        x0 = theirs.convert_model_output(network, sample=x)
        check(theirs, 1000 * t, t / (1 - t), x, network, x0)


@pytest.mark.parametrize("name", ["FlowMatchEulerDiscreteScheduler", "FlowMatchLCMScheduler"])
def test_flows(name):
    """The last step ends at the estimate of the clean image."""
    theirs = scheduler(name, shift=3.0)
    theirs.set_timesteps(10)
    theirs.set_begin_index(9)
    timestep, t = theirs.timesteps[9], theirs.sigmas[9].double()
    x, network = draw()
    x0 = theirs.step(network, timestep, x).prev_sample
    check(theirs, timestep, t / (1 - t), x, network, x0)


@pytest.mark.parametrize("prediction", ["epsilon", "v_prediction"])
def test_edm_euler(prediction):
    x, network = draw()
    for index in (0, 5, 9):
        theirs = scheduler("EDMEulerScheduler", prediction_type=prediction, sigma_data=0.7, sigma_max=50.0)
        theirs.set_timesteps(10)
        theirs.set_begin_index(index)
        timestep, sigma = theirs.timesteps[index], theirs.sigmas[index]
        scaled = theirs.scale_model_input(x, timestep)
        x0 = theirs.step(network, timestep, x).pred_original_sample
        check(theirs, timestep, sigma, scaled, network, x0)
        assert preconditioning(theirs).sigma_range == (0.002, 50.0)


@pytest.mark.parametrize("prediction", ["epsilon", "v_prediction"])
def test_edm_dpm_solver(prediction):
    theirs = scheduler("EDMDPMSolverMultistepScheduler", prediction_type=prediction)
    theirs.set_timesteps(10)
    x, network = draw()
    for index in (0, 5, 9):
        theirs._step_index = index
        sigma = theirs.sigmas[index]
        x0 = theirs.convert_model_output(network, sample=x)
        check(theirs, theirs.timesteps[index], sigma, theirs.precondition_inputs(x, sigma), network, x0)


def test_euler_with_continuous_timesteps():
    fields = {"prediction_type": "v_prediction", "timestep_type": "continuous", "sigma_min": 0.002, "sigma_max": 700.0}
    theirs = scheduler("EulerDiscreteScheduler", **fields, use_karras_sigmas=True)
    theirs.set_timesteps(10)
    theirs.set_begin_index(4)
    timestep, sigma = theirs.timesteps[4], theirs.sigmas[4]
    x, network = draw()
    scaled = theirs.scale_model_input(x, timestep)
    check(theirs, timestep, sigma, scaled, network, theirs.step(network, timestep, x).pred_original_sample)
    assert preconditioning(theirs).sigma_range == (0.002, 700.0)


def test_consistency_models():
    x, network = draw()
    for index in (0, 2):
        theirs = scheduler("CMStochasticIterativeScheduler", clip_denoised=False, sigma_data=0.7)
        theirs.set_timesteps(4)
        theirs.set_begin_index(index)
        timestep, sigma = theirs.timesteps[index], theirs.sigmas[index].double()
        scaled = theirs.scale_model_input(x, timestep)
        c_skip, c_out = theirs.get_scalings_for_boundary_condition(sigma)
        check(theirs, timestep, sigma, scaled, network, c_skip * x + c_out * network)


def test_scores():
    """The step from the least noise level to none ends at the estimate of the clean image."""
    theirs = scheduler("ScoreSdeVeScheduler", sigma_min=0.5, sigma_max=200.0)
    theirs.set_sigmas(10)
    x, network = draw()
    x0 = theirs.step_pred(network, 0.0, x, generator=torch.Generator().manual_seed(0)).prev_sample_mean
    check(theirs, 0.5, 0.5, x, network, x0)


def test_what_concerns_the_sampler_changes_nothing():
    plain = preconditioning(scheduler("EulerDiscreteScheduler", prediction_type="v_prediction"))
    spaced = scheduler(
        "EulerDiscreteScheduler", prediction_type="v_prediction", timestep_spacing="trailing", steps_offset=1
    )
    assert preconditioning(spaced) == plain == V(schedule=plain.schedule)


def test_old_files_without_prediction_type_mean_epsilon():
    config = json.loads(scheduler("DDPMScheduler").to_json_string())
    del config["prediction_type"]
    assert preconditioning_from_scheduler(config)["kind"] == "Epsilon"


@pytest.mark.parametrize(
    ("name", "changes", "message"),
    [
        ("CogVideoXDDIMScheduler", {}, "scheduler._class_name: expected .*, got 'CogVideoXDDIMScheduler'"),
        ("SCMScheduler", {}, "scheduler._class_name: expected .*, got 'SCMScheduler'"),
        ("IPNDMScheduler", {}, "scheduler._class_name: expected .*, got 'IPNDMScheduler'"),
        ("DDPMScheduler", {"prediction_type": "image"}, "scheduler.prediction_type: expected one of .*, got 'image'"),
        ("DDPMScheduler", {"beta_schedule": "cubic"}, "scheduler.beta_schedule: expected one of .*, got 'cubic'"),
        ("DDPMScheduler", {"trained_betas": "x"}, "scheduler.trained_betas: expected a list or null, got 'x'"),
        ("EDMEulerScheduler", {"prediction_type": "sample"}, "scheduler.prediction_type: expected one of"),
        ("UniPCMultistepScheduler", {"use_flow_sigmas": True}, "scheduler.use_flow_sigmas: expected False with"),
        ("UniPCMultistepScheduler", {"prediction_type": "flow_prediction"}, "use_flow_sigmas: expected True with"),
        ("FlowMatchEulerDiscreteScheduler", {"invert_sigmas": True}, "scheduler.invert_sigmas: expected false"),
    ],
)
def test_what_is_not_covered_is_named(name, changes, message):
    config = json.loads(scheduler(name).to_json_string()) | changes
    with pytest.raises(ValueError, match=message):
        preconditioning_from_scheduler(config)


@pytest.mark.parametrize(
    ("name", "field"),
    [
        ("DDPMScheduler", "beta_start"),
        ("DDPMScheduler", "num_train_timesteps"),
        ("EDMEulerScheduler", "sigma_data"),
        ("FlowMatchEulerDiscreteScheduler", "num_train_timesteps"),
    ],
)
def test_a_missing_field_is_named(name, field):
    config = json.loads(scheduler(name).to_json_string())
    del config[field]
    with pytest.raises(ValueError, match=rf"scheduler: expected the fields .*, got .*'{field}'"):
        preconditioning_from_scheduler(config)
