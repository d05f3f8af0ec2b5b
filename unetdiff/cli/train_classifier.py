"""`unetdiff train-classifier`: a classifier of real images, for judging generated ones with `unetdiff eval`."""

from dataclasses import asdict, fields, replace
from pathlib import Path

import jsonargparse

from unetdiff.data import DataConfig, prepare
from unetdiff.evaluation.classifier import save_classifier
from unetdiff.evaluation.classifier_training import ClassifierTraining, train_classifier
from unetdiff.evaluation.consistency import dataset_consistency

__all__ = ["parser", "run"]


def parser() -> jsonargparse.ArgumentParser:
    """Build the command's options."""
    result = jsonargparse.ArgumentParser(description="Train a small classifier and measure it on the test split.")
    result.add_argument("source", help="fashion-mnist, or a folder with the subfolders train and test")
    result.add_argument("--out", type=Path, required=True, help="folder for model.safetensors and config.json")
    result.add_class_arguments(DataConfig, skip={"source", "split", "flip"})
    result.add_class_arguments(ClassifierTraining)
    return result


def run(args: jsonargparse.Namespace) -> None:
    """Train, measure, save."""
    data = DataConfig(source=args.source, size=args.size, channels=args.channels, cache=args.cache)
    training = ClassifierTraining(**{entry.name: args[entry.name] for entry in fields(ClassifierTraining)})
    train, test = prepare(data), prepare(replace(data, split="test"))
    classifier = train_classifier(train, training)
    test_accuracy = dataset_consistency(test, classifier).share
    save_classifier(args.out, classifier, test_accuracy, asdict(training))
    print(f"{test_accuracy:.2%} of {len(test)} test images right; saved to {args.out}")
