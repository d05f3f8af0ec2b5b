"""Prompts as conditions: of a pipeline's network as its pipeline computes them, or from any encoder of transformers."""

from unetdiff.text.encoder import Framing, TextCondition, TextEncoder
from unetdiff.text.pipeline import load_text
from unetdiff.text.tokens import TokenEncoder

__all__ = ["Framing", "TextCondition", "TextEncoder", "TokenEncoder", "load_text"]
