"""From the `scheduler_config.json` of a diffusers pipeline to the preconditioning of its network.

A scheduler is a sampler that also knows what its network predicts, and at which noise levels. Only that is read here:
`timestep_spacing`, `steps_offset`, `shift`, spacings of sigma, clipping and thresholding concern the sampler alone.
"""

from collections.abc import Mapping

from unetdiff.plain import require

__all__ = ["preconditioning_from_scheduler"]

PREDICTIONS = {"epsilon": "Epsilon", "v_prediction": "V", "sample": "X0", "original_sample": "X0"}
EDM_PREDICTIONS = {"epsilon": "EDM", "v_prediction": "EDMVelocity"}
BETA_SCHEDULES = {
    "linear": "linear",
    "scaled_linear": "scaled_linear",
    "sigmoid": "sigmoid",
    "squaredcos_cap_v2": "cosine",
    "laplace": "laplace",
    "exp": "exponential",
}
BETWEEN_ENDS = ("linear", "scaled_linear", "sigmoid")


def preconditioning_from_scheduler(config: Mapping[str, object]) -> dict[str, object]:
    """The plain form of a preconditioning, for `unetdiff.denoiser.preconditioning_from_dict`, which checks its values.

    Args:
        config: the contents of `scheduler_config.json`; `_class_name` names the class.

    Raises:
        ValueError: a class or a field that no preconditioning here expresses; the message names it.
    """
    config = {"prediction_type": "epsilon", **config}  # which older files don't name
    match config.get("_class_name"):
        case "EDMEulerScheduler" | "EDMDPMSolverMultistepScheduler":
            kind = _choice(config, "prediction_type", EDM_PREDICTIONS)
            return {"kind": kind, **_fields(config, "sigma_data", "sigma_min", "sigma_max")}
        case "CMStochasticIterativeScheduler":
            return {"kind": "Consistency", **_fields(config, "sigma_data", "sigma_min", "sigma_max")}
        case "ScoreSdeVeScheduler":
            return {"kind": "Score", **_fields(config, "sigma_min", "sigma_max")}
        case "FlowMatchEulerDiscreteScheduler" | "FlowMatchHeunDiscreteScheduler" | "FlowMatchLCMScheduler":
            return _flow(config)
        case name:  # the classes with betas are many; CogVideoX's alone change the noise levels that these give
            plain = "beta_schedule" in config and "snr_shift_scale" not in config
            require(plain, "scheduler._class_name", "a scheduler with betas, or one of EDM, scores or flows", name)
            return _with_betas(config)


def _with_betas(config: Mapping[str, object]) -> dict[str, object]:
    """DDPM, DDIM, PNDM, LMS, Euler, Heun, DPM-Solver, UniPC, DEIS, LCM and their like."""
    prediction, flow = config["prediction_type"], config.get("use_flow_sigmas", False)
    expected = prediction == "flow_prediction"
    require(flow is expected, "scheduler.use_flow_sigmas", f"{expected} with prediction_type {prediction!r}", flow)
    if flow:
        return _flow(config)
    if prediction == "v_prediction" and config.get("timestep_type") == "continuous":
        return {"kind": "EDMVelocity", "sigma_data": 1.0, **_fields(config, "sigma_min", "sigma_max")}
    return {"kind": _choice(config, "prediction_type", PREDICTIONS), "schedule": _schedule(config)}


def _schedule(config: Mapping[str, object]) -> dict[str, object]:
    """The plain form of a `DiscreteSchedule`."""
    zero_snr = {"zero_terminal_snr": config.get("rescale_betas_zero_snr", False)}
    table = config.get("trained_betas")
    require(table is None or isinstance(table, list), "scheduler.trained_betas", "a list or null", table)
    if isinstance(table, list):
        return {"kind": "table", "steps": len(table), "table": table, **zero_snr}
    kind = _choice(config, "beta_schedule", BETA_SCHEDULES)
    ends = _fields(config, "beta_start", "beta_end") if kind in BETWEEN_ENDS else {}
    return {"kind": kind, "steps": _steps(config), **ends, **zero_snr}


def _flow(config: Mapping[str, object]) -> dict[str, object]:
    inverted = config.get("invert_sigmas", False)
    require(inverted is False, "scheduler.invert_sigmas", "false", inverted)
    return {"kind": "RectifiedFlow", "time_scale": _steps(config)}


def _steps(config: Mapping[str, object]) -> object:
    return _fields(config, "num_train_timesteps")["num_train_timesteps"]


def _choice(config: Mapping[str, object], field: str, kinds: Mapping[str, str]) -> str:
    """Our name of what a field asks for."""
    value = config[field]
    require(str(value) in kinds, f"scheduler.{field}", f"one of {list(kinds)}", value)
    return kinds[str(value)]


def _fields(config: Mapping[str, object], *names: str) -> dict[str, object]:
    """Fields whose defaults differ from class to class, so that they must be there."""
    missing = [name for name in names if name not in config]
    require(not missing, "scheduler", f"the fields {list(names)}", f"nothing for {missing}")
    return {name: config[name] for name in names}
