"""From the contents of a `config.json` to a `UNetConfig`, whichever class wrote it."""

from collections.abc import Mapping

from unetdiff.config import UNetConfig
from unetdiff.diffusers_config.unet2d import UNet2DModel
from unetdiff.diffusers_config.unet2d_condition import UNet2DConditionModel
from unetdiff.plain import from_plain, require

__all__ = ["read_config"]

FOREIGN = {"UNet2DModel": UNet2DModel, "UNet2DConditionModel": UNet2DConditionModel}


def read_config(values: Mapping[str, object]) -> UNetConfig:
    """Translate by `_class_name`: our own `UNet`, or diffusers' `UNet2DModel` or `UNet2DConditionModel`.

    Raises:
        ValueError: another class, or a field or a value of it that is not covered; the message names it.
    """
    name = values.get("_class_name", "UNet")
    fields = {key: value for key, value in values.items() if not key.startswith("_")}
    if name == "UNet":
        return UNetConfig.from_dict(fields)
    require(name in FOREIGN, "_class_name", f"one of {['UNet', *FOREIGN]}", name)
    return from_plain(FOREIGN[str(name)], fields).to_unet()
