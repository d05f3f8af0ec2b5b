"""What the network that a training starts from was trained beside: the text encoder and autoencoder of its pipeline."""

from dataclasses import dataclass
from pathlib import Path

from unetdiff.conditioning.text_encoder import TextConfig
from unetdiff.latent_images import LatentsConfig

__all__ = ["Companions"]


@dataclass(frozen=True, kw_only=True)
class Companions:
    """What `text` and `latents` of a training are that goes on with a pipeline's network; None where there is none."""

    text: TextConfig | None
    latents: LatentsConfig | None

    @classmethod
    def find(cls, source: str) -> "Companions":
        """Those in the folder of a pipeline; of anything else none."""
        folder = Path(source)
        pipeline = (folder / "model_index.json").is_file()
        reads = pipeline and any((folder / name).is_dir() for name in ("tokenizer", "tokenizer_2"))
        return cls(
            text=TextConfig(encoder=source) if reads else None,
            latents=LatentsConfig(codec=str(folder / "vae")) if pipeline and (folder / "vae").is_dir() else None,
        )
