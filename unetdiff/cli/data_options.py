"""Which images a command takes, beside the `data` that names them: the options of `DataConfig` that the user has."""

import jsonargparse

from unetdiff.data import DataConfig

__all__ = ["add_data_options", "data_config"]


def add_data_options(parser: jsonargparse.ArgumentParser) -> None:
    """The model decides the size and the channels, the command the split."""
    parser.add_class_arguments(DataConfig, skip={"source", "split", "size", "channels", "flip"})


def data_config(source: str, chosen: jsonargparse.Namespace) -> DataConfig:
    """Of a parser's instantiated options."""
    return DataConfig(source=source, layout=chosen.layout, columns=chosen.columns, cache=chosen.cache)
