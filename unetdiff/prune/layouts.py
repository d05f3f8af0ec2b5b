"""Published smaller layouts of Stable Diffusion's U-Nets, as starts for distillation.

| layout         | of     | parameters    | source                                             |
|----------------|--------|---------------|----------------------------------------------------|
| `bk-sdm-base`  | SD 1.5 |   579,384,964 | Kim et al. 2023, https://arxiv.org/abs/2305.15798  |
| `bk-sdm-small` | SD 1.5 |   482,346,884 | the same                                           |
| `bk-sdm-tiny`  | SD 1.5 |   323,384,964 | the same                                           |
| `ssd-1b`       | SDXL   | 1,331,334,404 | Gupta et al. 2024, https://arxiv.org/abs/2401.02677 |
| `segmind-vega` | SDXL   |   745,225,604 | the same                                           |
| `koala-1b`     | SDXL   | 1,161,184,324 | Lee et al. 2023, https://arxiv.org/abs/2312.04005  |
| `koala-700m`   | SDXL   |   782,822,724 | the same                                           |

A layout is an ordinary smaller network, of fewer blocks or levels, which diffusers' own class expresses too. Its
decoder keeps the first blocks of a level and the last one, which joins the skip of the level above, as BK-SDM does;
transformers keep their first layers. Of SDXL's layouts the numbers of layers are published, not which of the teacher's
they began with.
"""

import dataclasses
import re
from collections.abc import Mapping
from dataclasses import dataclass

from unetdiff.config import LevelConfig, MidConfig, UNetConfig
from unetdiff.diffusers_config.levels import attention_layers
from unetdiff.errors import InputError
from unetdiff.prune.assembly import assemble
from unetdiff.unet import UNet

__all__ = ["LAYOUTS", "layout", "layout_config"]

Blocks = tuple[tuple[int, ...], ...]


@dataclass(frozen=True, kw_only=True)
class Shape:
    """The residual blocks of each level, finest first, as the number of transformer layers behind each of them.

    `mid` is that number for the middle: 0 is a middle of one residual block, None is no middle.
    """

    down: Blocks
    up: Blocks
    mid: int | None

    @classmethod
    def of(cls, config: UNetConfig) -> "Shape":
        """The shape of a network."""
        middle = config.mid
        attention = None if middle is None else middle.attention
        return cls(
            down=tuple(level.layers("down") for level in config.levels),
            up=tuple(level.layers("up") for level in config.levels),
            mid=None if middle is None else (attention.layers if attention is not None and middle.depth else 0),
        )


STABLE_DIFFUSION = Shape(down=((1, 1), (1, 1), (1, 1), (0, 0)), up=((1, 1, 1), (1, 1, 1), (1, 1, 1), (0, 0, 0)), mid=1)
SDXL = Shape(down=((0, 0), (2, 2), (10, 10)), up=((0, 0, 0), (2, 2, 2), (10, 10, 10)), mid=10)

LAYOUTS: Mapping[str, tuple[Shape, Shape]] = {
    "bk-sdm-base": (
        STABLE_DIFFUSION,
        Shape(down=((1,), (1,), (1,), (0,)), up=((1, 1), (1, 1), (1, 1), (0, 0)), mid=1),
    ),
    "bk-sdm-small": (
        STABLE_DIFFUSION,
        Shape(down=((1,), (1,), (1,), (0,)), up=((1, 1), (1, 1), (1, 1), (0, 0)), mid=None),
    ),
    "bk-sdm-tiny": (STABLE_DIFFUSION, Shape(down=((1,), (1,), (1,)), up=((1, 1), (1, 1), (1, 1)), mid=None)),
    "ssd-1b": (SDXL, Shape(down=((0, 0), (2, 2), (4, 4)), up=((0, 0, 0), (2, 1, 1), (4, 4, 10)), mid=0)),
    "segmind-vega": (SDXL, Shape(down=((0, 0), (1, 1), (2, 2)), up=((0, 0, 0), (1, 1, 1), (2, 2, 2)), mid=0)),
    "koala-1b": (SDXL, Shape(down=((0,), (2,), (6,)), up=((0, 0), (2, 2), (6, 6)), mid=6)),
    "koala-700m": (SDXL, Shape(down=((0,), (2,), (5,)), up=((0, 0), (2, 2), (5, 5)), mid=None)),
}
"""By name the shape of the network that it is made of, and its own."""

DECODER = re.compile(r"up_blocks\.(?P<position>\d+)\.(?P<kind>\w+)\.(?P<index>\d+)\.(?P<rest>.*)")


def layout(unet: UNet, name: str) -> UNet:
    """A new network of the layout `name`, which shares its tensors with `unet`; that one is not changed.

    Raises:
        InputError: no layout of this name, or one of another network.
    """
    config = layout_config(unet.config, name)
    teacher = unet.state_dict(keep_vars=True)
    return assemble(config, lambda key: teacher[_in_teacher(key, unet.config, config)], unet.training)


def layout_config(config: UNetConfig, name: str) -> UNetConfig:
    """What the layout `name` of a network of this configuration is.

    Raises:
        InputError: no layout of this name, or one of another network.
    """
    if name not in LAYOUTS:
        raise InputError(f"layout: expected one of {', '.join(LAYOUTS)}, got {name!r}")
    teacher, student = LAYOUTS[name]
    found = Shape.of(config)
    if found != teacher:
        kind = "Stable Diffusion 1 or 2" if teacher == STABLE_DIFFUSION else "SDXL"
        raise InputError(f"layout {name}: expected a network of {kind}, {teacher}, got {found}")
    if changed := [*config.removed, *config.widths]:
        raise InputError(f"layout {name}: expected a network as it was trained, got one pruned at {', '.join(changed)}")
    levels = tuple(
        _level(level, down, up) for level, down, up in zip(config.levels, student.down, student.up, strict=False)
    )
    return dataclasses.replace(config, levels=levels, mid=_middle(config.mid, student.mid))


def _level(level: LevelConfig, down: tuple[int, ...], up: tuple[int, ...]) -> LevelConfig:
    attention = level.attention
    if attention is not None:
        unsaid = dataclasses.replace(attention, layers=1, down_layers=None, up_layers=None)
        attention = attention_layers(unsaid, down, up)
    return dataclasses.replace(level, depth=len(down), attention=attention)


def _middle(middle: MidConfig | None, layers: int | None) -> MidConfig | None:
    if middle is None or layers is None:
        return None
    if layers == 0:
        return dataclasses.replace(middle, depth=0, attention=None)
    assert middle.attention is not None
    return dataclasses.replace(middle, attention=dataclasses.replace(middle.attention, layers=layers))


def _in_teacher(key: str, teacher: UNetConfig, student: UNetConfig) -> str:
    """Where a tensor of the student is in the teacher.

    Decoder blocks are numbered from the coarsest level, which the student may lack, and the last block is the last one.
    """
    match = DECODER.fullmatch(key)
    if match is None:
        return key
    position, index = int(match["position"]), int(match["index"])
    level = len(student.levels) - 1 - position
    if match["kind"] != "upsamplers" and index == student.levels[level].depth:
        index = teacher.levels[level].depth
    return f"up_blocks.{len(teacher.levels) - 1 - level}.{match['kind']}.{index}.{match['rest']}"
