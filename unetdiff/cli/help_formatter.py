"""How `--help` sets the texts around the options."""

import jsonargparse

__all__ = ["HelpWithLists"]


class HelpWithLists(jsonargparse.DefaultHelpFormatter):
    """Keeps the lines of a text that has some, as `argparse.RawDescriptionHelpFormatter` does of all texts."""

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        return text if "\n" in text else super()._fill_text(text, width, indent)
