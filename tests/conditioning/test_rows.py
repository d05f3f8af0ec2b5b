"""Conditions that the data give: a row for each image, the null where it is dropped."""

import numpy as np
import torch

from unetdiff.conditioning.labels import ClassLabels
from unetdiff.conditioning.vectors import Vectors
from unetdiff.nn.class_embedding import NULL_CLASS

ROWS, DROPPED = np.array([3, 0, 3]), np.array([False, True, True])


def test_labels():
    (labels,) = ClassLabels(np.array([7, 8, 9, 4])).take(ROWS, DROPPED).values()
    assert labels.dtype == torch.int64
    assert labels.tolist() == [4, NULL_CLASS, NULL_CLASS]


def test_vectors():
    vectors = np.arange(8, dtype=np.float32).reshape(4, 2)
    (taken,) = Vectors(vectors).take(ROWS, DROPPED).values()
    assert taken.dtype == torch.float32
    assert taken.tolist() == [[6, 7], [0, 0], [0, 0]]
