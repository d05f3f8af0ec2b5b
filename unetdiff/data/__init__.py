"""Images from folders, arrays and Fashion-MNIST: packed once, mapped into memory, streamed as batches."""

from unetdiff.data.cache import prepare
from unetdiff.data.config import DataConfig, MissingSplitError
from unetdiff.data.dataset import PackedDataset
from unetdiff.data.stream import Batch, SampleStream

__all__ = ["Batch", "DataConfig", "MissingSplitError", "PackedDataset", "SampleStream", "prepare"]
