"""The picture, read back from its XML."""

from itertools import pairwise
from xml.etree import ElementTree

import pytest

from unetdiff import presets
from unetdiff.config import AttentionConfig, LevelConfig, MidConfig, UNetConfig
from unetdiff.describe import costs
from unetdiff.diagram import draw

ATTENTION = AttentionConfig(heads=2)
LEVELS = (LevelConfig(channels=8, depth=1), LevelConfig(channels=16, depth=2, attention=ATTENTION))

NETWORKS = {
    "toy": (UNetConfig(levels=(*LEVELS, LevelConfig(channels=16, depth=1))), (16, 16)),
    "one level": (UNetConfig(levels=LEVELS[:1], mid=None), (4, 4)),
    "no middle": (UNetConfig(levels=LEVELS, mid=None), (8, 8)),
    "deep middle": (UNetConfig(levels=LEVELS, mid=MidConfig(depth=3, attention=ATTENTION)), (8, 8)),
    "input residual": (UNetConfig(levels=LEVELS, input_residual=True), (8, 8)),
    "odd size": (UNetConfig(levels=LEVELS, odd_sizes="match_skips"), (5, 7)),
    "sdxl": (presets.sdxl(), (16, 24)),
}


@pytest.fixture(scope="module", params=NETWORKS, ids=str)
def drawing(request):
    """The rows of a network and the root of their picture."""
    rows = costs(*NETWORKS[request.param])
    root = ElementTree.fromstring(draw(rows))
    for element in root.iter():
        element.tag = element.tag.rpartition("}")[2]
    return rows, root


def boxes(root):
    """Left, top, right and bottom of each node's box, by name."""
    found = {}
    for group in root.iterfind("g[@class='node']"):
        name = group.findtext("title").partition(":")[0]
        assert name not in found
        x, y, width, height = (float(group.find("rect").get(key)) for key in ("x", "y", "width", "height"))
        found[name] = (x, y, x + width, y + height)
    return found


def words(root):
    return [element.text for element in root.iterfind("text")]


def test_every_node_has_one_box_with_its_name_and_channels(drawing):
    rows, root = drawing
    nodes = [row for row in rows if row.level is not None]
    assert boxes(root).keys() == {node.name for node in nodes}
    labels = {tuple(text.text for text in group.iterfind("text")) for group in root.iterfind("g[@class='node']")}
    for node in nodes:
        taken = f"{node.in_channels} + {node.skip_channels}" if node.skip_channels else str(node.in_channels)
        assert (node.name, f"{taken} → {node.out_channels}") in labels


def test_boxes_lie_apart_and_inside_the_picture(drawing):
    _, root = drawing
    _, _, width, height = map(float, root.get("viewBox").split())
    places = list(boxes(root).values())
    for index, (left, top, right, bottom) in enumerate(places):
        assert left >= 0
        assert top >= 0
        assert right <= width
        assert bottom <= height
        for other in places[:index]:
            assert right <= other[0] or other[2] <= left or bottom <= other[1] or other[3] <= top


def test_every_skip_is_one_level_line_between_its_ends(drawing):
    rows, root = drawing
    joins = [row for row in rows if row.skip_from is not None]
    lines = {line.findtext("title"): line for line in root.iterfind("line[@class='skip']")}
    assert len(root.findall("line[@class='skip']")) == len(joins) == len(lines)
    places = boxes(root)
    for join in joins:
        line = lines[f"{join.skip_from} to {join.name}"]
        x1, x2, y1, y2 = (float(line.get(key)) for key in ("x1", "x2", "y1", "y2"))
        source, target = places[join.skip_from], places[join.name]
        assert (x1, x2) == (source[2], target[0])
        assert y1 == y2 == (source[1] + source[3]) / 2 == (target[1] + target[3]) / 2
        above = [text for text in root.iterfind("text") if float(text.get("y")) == y1 - 3]
        assert [text.text for text in above if x1 < float(text.get("x")) < x2] == [str(join.skip_channels)]


def test_the_encoder_goes_down_and_the_decoder_up(drawing):
    """In the order of computation: the left column downwards, what lies at the turn, the right column upwards."""
    rows, root = drawing
    places = boxes(root)
    left, right = min(place[0] for place in places.values()), max(place[0] for place in places.values())
    floor = max(place[1] for place in places.values())
    down = sorted((name for name in places if places[name][0] == left), key=lambda name: places[name][1])
    up = sorted((name for name in places if places[name][0] == right), key=lambda name: -places[name][1])
    turn = [name for name in places if left < places[name][0] < right]
    assert [*down, *turn, *up] == [row.name for row in rows if row.level is not None]
    assert all(places[name][1] == floor for name in turn)


def test_bands_tell_the_size_of_what_lies_in_them(drawing):
    rows, root = drawing
    texts = list(root.iterfind("text"))
    bands = [(float(text.get("y")), size.text) for text, size in pairwise(texts) if text.text.startswith("level ")]
    assert len(bands) == len({(row.height, row.width) for row in rows if row.level is not None})
    places = boxes(root)
    for row in rows:
        if row.level is not None:
            _, size = max(band for band in bands if band[0] < places[row.name][3])
            assert size == f"{row.height} x {row.width}"


def test_kinds_have_colours_of_their_own(drawing):
    rows, root = drawing
    colours = {}
    for group in root.iterfind("g[@class='node']"):
        kind = group.findtext("title").partition(": ")[2].partition(",")[0]
        colours.setdefault(kind, set()).add(group.find("rect").get("fill"))
    assert all(len(fills) == 1 for fills in colours.values())
    assert len(set.union(*colours.values())) == len(colours)
    assert colours.keys() == {row.kind for row in rows if row.level is not None}
    assert colours.keys() <= set(words(root))


def test_totals_and_tokens_are_told(drawing):
    rows, root = drawing
    told = words(root)
    assert f"{sum(row.parameters for row in rows):,} parameters" in told
    assert f"{sum(row.macs for row in rows):,} multiply-accumulates at {rows[-1].height} x {rows[-1].width}" in told
    assert {text for text in told if text.endswith(" tokens")} == {
        f"{row.tokens:,} tokens" for row in rows if row.tokens
    }
