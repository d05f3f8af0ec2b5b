"""`unetdiff sample` with models that are told a picture."""

import json

import numpy as np
import pytest
from PIL import Image

from unetdiff.cli.main import main
from unetdiff.conditioning.concat import Inpainting, SuperResolution
from unetdiff.pictures import read_png

ONE = ("--classes", "1", "--seeds", "0", "--no-picture")
FILE = "class0001-seed000000.png"


@pytest.fixture(scope="module")
def enlarger(make_model, tmp_path_factory):
    return make_model(tmp_path_factory.mktemp("enlarger"), concat=SuperResolution(factor=2))


@pytest.fixture(scope="module")
def painter(make_model, tmp_path_factory):
    return make_model(tmp_path_factory.mktemp("painter"), concat=Inpainting())


@pytest.fixture
def save(tmp_path):
    """Give a function that writes a picture."""

    def write(name, pixels):
        Image.fromarray(pixels).save(tmp_path / name)
        return tmp_path / name

    return write


@pytest.fixture
def random():
    return np.random.default_rng(0)


@pytest.fixture
def small(random):
    return random.integers(0, 256, (4, 3), dtype=np.uint8)


@pytest.fixture
def whole(random):
    return random.integers(0, 256, (8, 6), dtype=np.uint8)


@pytest.fixture
def mask(save):
    """The upper half is to be painted."""
    return save("mask.png", np.repeat(np.array([255, 0], np.uint8), 24).reshape(8, 6))


def test_a_small_picture_is_taken_as_it_is_and_a_large_one_by_its_means(sample, enlarger, save, small):
    small = small // 2 + 64  # so that there is room for the pattern
    large = np.kron(small, np.ones((2, 2), np.uint8)) + np.tile(np.array([[9, -9], [-9, 9]]), (4, 3))
    large = large.astype(np.uint8)
    pictures = [save("small.png", small), save("large.png", large), save("other.png", 255 - small)]
    first, same, other = (read_png(sample(*ONE, "--concat", file, model=enlarger) / FILE) for file in pictures)
    assert np.array_equal(first, same)
    assert (first != other).any()


def test_what_is_not_painted_stays_and_what_is_painted_was_not_seen(sample, painter, save, whole, mask):
    def painted(pixels):
        folder = sample(*ONE, "--concat", save("whole.png", pixels), "--mask", mask, model=painter)
        return read_png(folder / FILE)[..., 0]

    result = painted(whole)
    assert np.array_equal(result[4:], whole[4:])
    hidden = np.vstack([255 - whole[:4], whole[4:]])
    assert np.array_equal(painted(hidden), result)
    assert (painted(np.vstack([whole[:4], 255 - whole[4:]]))[:4] != result[:4]).any()


def test_each_seed_can_have_a_picture_of_its_own(sample, enlarger, tmp_path, small):
    (tmp_path / "many").mkdir()
    for name, pixels in (("a", small), ("b", 255 - small)):
        Image.fromarray(pixels).save(tmp_path / "many" / f"{name}.png")
    folder = sample(*ONE[:2], "--seeds", "5,3", "--concat", tmp_path / "many", model=enlarger)
    rows = [json.loads(line) for line in (folder / "manifest.jsonl").read_text().splitlines()]
    assert {row["seed"]: row["source"]["path"][-5:] for row in rows} == {5: "a.png", 3: "b.png"}


def test_guidance_leads_away_from_no_class_and_the_same_picture(sample, enlarger, save, small):
    options = (*ONE, "--concat", save("small.png", small))
    plain, led = (read_png(sample(*options, "--guidance", w, model=enlarger) / FILE) for w in (1, 3))
    assert (plain != led).any()


def test_an_image_says_what_it_was_told(sample, painter, save, whole, mask, capsys, tmp_path):
    picture = save("whole.png", whole)
    image = sample(*ONE, "--concat", picture, "--mask", mask, model=painter) / FILE
    assert main(["reproduce", str(image), "--out", str(tmp_path / "again.png")]) == 0
    assert "the same pixels" in capsys.readouterr().out
    save("whole.png", 255 - whole)
    with pytest.raises(SystemExit):
        main(["reproduce", str(image), "--out", str(tmp_path / "again.png")])
    assert "the picture that the image was made from expected, it has changed" in capsys.readouterr().err


class TestRefusals:
    def test_pictures(self, refused_sample, enlarger, painter, save, whole, mask):
        picture = save("whole.png", whole)
        given = ("--concat", picture)
        assert "concat: a picture expected for" in refused_sample(*ONE, model=enlarger)
        assert "mask: a picture of what to paint expected, got None" in refused_sample(*given, model=painter)
        assert "mask: nothing for super-resolution expected" in refused_sample(*given, "--mask", mask, model=enlarger)
        assert "concat: a model of super-resolution or inpainting expected" in refused_sample(*given)
        assert "concat: expected nothing with --start" in refused_sample(*given, "--start", picture, model=enlarger)
        assert "strength: expected nothing without --start" in refused_sample(*given, "--strength", 0.5, model=enlarger)

    def test_a_guide_of_another_task(self, refused_sample, enlarger, painter, save, small):
        options = ("--concat", save("small.png", small), "--guidance", "2", "--guide", painter)
        assert "guide: a model of the same classes" in refused_sample(*options, model=enlarger)

    def test_a_model_that_does_not_say_what_it_is_told(self, refused_sample, make_model, tmp_path, save, small):
        folder = make_model(tmp_path / "silent", concat=SuperResolution(factor=2))
        facts = json.loads((folder / "denoiser.json").read_text())
        del facts["concat"]
        (folder / "denoiser.json").write_text(json.dumps(facts))
        message = "`concat` in denoiser.json expected for 1 channels, got none"
        assert message in refused_sample("--concat", save("small.png", small), model=folder)

    def test_measurements_without_a_picture(self, refused, enlarger):
        assert "got one that is told a picture" in refused(["skip-report", str(enlarger)])
