"""A U-Net as a picture: the encoder goes down on the left, the decoder up on the right, every skip is a level line.

A skip is level because its two ends share a line of the picture; all other nodes are placed between those lines.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import cycle, groupby
from xml.etree import ElementTree
from xml.etree.ElementTree import Element, SubElement

from unetdiff.describe import NodeCost

__all__ = ["draw"]

PALETTE = ("#f4c95d", "#8fb8de", "#f2a07b", "#9fd3a5", "#c9a7e0", "#d9d3c7", "#f3b6c8", "#a5d8d8")
BOX_WIDTH, BOX_HEIGHT, PITCH = 264, 20, 26
MARGIN, LEFT, RIGHT = 20, 110, 594  # of the picture, of the encoder's boxes, of the decoder's
WIDTH = RIGHT + BOX_WIDTH + MARGIN
TOP = 104  # the first line's, below title, legend and what comes out


@dataclass(frozen=True, kw_only=True)
class _Line:
    """What stands side by side: a node of the encoder, one of the decoder, or the ends of a skip."""

    left: NodeCost | None
    right: NodeCost | None

    @property
    def size(self) -> tuple[int, int]:
        node = self.left or self.right
        assert node is not None
        return node.height, node.width


def draw(rows: Sequence[NodeCost]) -> str:
    """The rows of `costs` as the text of an SVG file."""
    nodes = [row for row in rows if row.level is not None]
    lines, innermost = _layout(nodes)
    floor = TOP + PITCH * len(lines) + PITCH / 2
    height = floor + PITCH + MARGIN
    picture = Element("svg", xmlns="http://www.w3.org/2000/svg", viewBox=f"0 0 {WIDTH} {height:g}")
    picture.attrib |= {"width": f"{WIDTH}", "height": f"{height:g}", "font-family": "sans-serif", "font-size": "11"}
    SubElement(picture, "rect", width="100%", height="100%", fill="white")
    _title(picture, rows)
    _levels(picture, lines, nodes)
    _main_path(picture, lines, floor + BOX_HEIGHT / 2)
    _skips(picture, lines)
    colours = dict(zip(dict.fromkeys(node.kind for node in nodes), cycle(PALETTE), strict=False))
    _legend(picture, colours)
    places = {node.name: (left, top) for node, left, top in _places(lines)}
    if innermost is not None:
        places[innermost.name] = ((LEFT + RIGHT) / 2, floor)
    for node in nodes:
        _box(picture, node, colours[node.kind], *places[node.name])
    ElementTree.indent(picture)
    return ElementTree.tostring(picture, encoding="unicode") + "\n"


def _layout(nodes: Sequence[NodeCost]) -> tuple[list[_Line], NodeCost | None]:
    """Lines from the top of the picture, and the node at the turn if there is one.

    The nodes between encoder and decoder fold into the two sides, around the one in their middle.
    """
    joins = [index for index, node in enumerate(nodes) if node.skip_from is not None]
    sources = {nodes[index].skip_from for index in joins}
    end = 1 + max(index for index, node in enumerate(nodes) if node.name in sources)
    middle = nodes[end : joins[0]]
    half = len(middle) // 2
    folded = [_Line(left=middle[index], right=middle[-1 - index]) for index in range(half)]
    return [*_lines(nodes[:end], nodes[joins[0] :]), *folded], middle[half] if len(middle) % 2 else None


def _places(lines: Sequence[_Line]) -> Iterator[tuple[NodeCost, float, float]]:
    """Each node of the two sides with the left and the top of its box."""
    for index, line in enumerate(lines):
        for node, left in ((line.left, LEFT), (line.right, RIGHT)):
            if node is not None:
                yield node, left, TOP + PITCH * index


def _lines(encoder: Sequence[NodeCost], decoder: Sequence[NodeCost]) -> Iterator[_Line]:
    """Downwards: a line for the ends of each skip, and before it lines for what stands above either end."""
    start, above = 0, list[NodeCost]()
    for node in reversed(decoder):
        if node.skip_from is None:
            above.append(node)
            continue
        end = next(index for index, source in enumerate(encoder) if source.name == node.skip_from)
        yield from _abreast(encoder[start:end], above)
        yield _Line(left=encoder[end], right=node)
        start, above = end + 1, []


def _abreast(left: Sequence[NodeCost], right: Sequence[NodeCost]) -> Iterator[_Line]:
    """Nodes of one size side by side, as low as they can be."""
    for size in sorted({(node.height, node.width) for node in (*left, *right)}, reverse=True):
        sides = [[node for node in side if (node.height, node.width) == size] for side in (left, right)]
        count = max(map(len, sides))
        padded = ([None] * (count - len(side)) + side for side in sides)
        yield from (_Line(left=one, right=other) for one, other in zip(*padded, strict=True))


def _title(picture: Element, rows: Sequence[NodeCost]) -> None:
    parameters, macs = sum(row.parameters for row in rows), sum(row.macs for row in rows)
    title = _text(picture, f"{parameters:,} parameters", MARGIN, 28)
    title.attrib |= {"font-size": "16", "font-weight": "bold"}
    size = f"{rows[-1].height} x {rows[-1].width}"
    _text(picture, f"{macs:,} multiply-accumulates at {size}", WIDTH - MARGIN, 28, anchor="end")


def _legend(picture: Element, colours: dict[str, str]) -> None:
    step = (WIDTH - 2 * MARGIN) / len(colours)
    for index, (kind, colour) in enumerate(colours.items()):
        left = MARGIN + step * index
        _rectangle(picture, left, 44, 14, 14, fill=colour, stroke="#555")
        _text(picture, kind, left + 20, 55)


def _levels(picture: Element, lines: Sequence[_Line], nodes: Sequence[NodeCost]) -> None:
    """A band for each resolution with its size and, where there is attention, the number of its tokens."""
    top = TOP - (PITCH - BOX_HEIGHT) / 2
    bands = [(size, len(list(members))) for size, members in groupby(line.size for line in lines)]
    for index, ((height, width), count) in enumerate(bands):
        turn = 1.5 if index == len(bands) - 1 else 0  # lines below the two sides
        thickness = PITCH * (count + turn)
        _rectangle(picture, 0, top, WIDTH, thickness, fill="#f4f4f4" if index % 2 == 0 else "#e9e9e9")
        tokens = max(node.tokens for node in nodes if (node.height, node.width) == (height, width))
        notes = (f"level {index}", f"{height} x {width}", *([f"{tokens:,} tokens"] if tokens else []))
        for number, note in enumerate(notes):
            _text(picture, note, MARGIN, top + 18 + 15 * number)
        top += thickness


def _main_path(picture: Element, lines: Sequence[_Line], floor: float) -> None:
    """The U: from the first node of the encoder down, through the middle, up and out of the decoder."""
    entry = next(index for index, line in enumerate(lines) if line.left is not None)
    down, up = LEFT + BOX_WIDTH / 2, RIGHT + BOX_WIDTH / 2
    start = TOP + PITCH * entry - 16
    path = f"M{down} {start} V{floor} H{up} V{TOP - 16}"
    SubElement(picture, "path", {"d": path, "fill": "none", "stroke": "#333", "stroke-width": "2"})
    SubElement(picture, "path", {"d": f"M{up - 5} {TOP - 14} h10 l-5 -8 z", "fill": "#333"})
    first, last = lines[entry].left, lines[0].right
    assert first is not None
    assert last is not None
    _text(picture, f"{first.in_channels} channels", down + 10, start + 8)
    _text(picture, f"{last.out_channels} channels", up + 10, TOP - 12)


def _skips(picture: Element, lines: Sequence[_Line]) -> None:
    for index, line in enumerate(lines):
        if line.left is None or line.right is None or line.right.skip_from != line.left.name:
            continue
        middle = TOP + PITCH * index + BOX_HEIGHT / 2
        place = {"x1": str(LEFT + BOX_WIDTH), "x2": str(RIGHT), "y1": str(middle), "y2": str(middle)}
        skip = SubElement(picture, "line", place | {"class": "skip", "stroke": "#777", "stroke-dasharray": "4 3"})
        SubElement(skip, "title").text = f"{line.left.name} to {line.right.name}"
        _text(picture, str(line.right.skip_channels), (LEFT + BOX_WIDTH + RIGHT) / 2, middle - 3, anchor="middle")


def _box(picture: Element, node: NodeCost, colour: str, left: float, top: float) -> None:
    box = SubElement(picture, "g", {"class": "node"})
    joined = f" + {node.skip_channels}" if node.skip_channels else ""
    channels = f"{node.in_channels}{joined} → {node.out_channels}"
    facts = f"{node.kind}, {channels}, {node.parameters:,} parameters, {node.macs:,} multiply-accumulates"
    SubElement(box, "title").text = f"{node.name}: {facts}"
    _rectangle(box, left, top, BOX_WIDTH, BOX_HEIGHT, fill=colour, stroke="#555")
    _text(box, node.name, left + 6, top + 14)
    _text(box, channels, left + BOX_WIDTH - 6, top + 14, anchor="end")


def _rectangle(
    parent: Element, x: float, y: float, width: float, height: float, *, fill: str, stroke: str = "none"
) -> None:
    place = {"x": f"{x:g}", "y": f"{y:g}", "width": f"{width:g}", "height": f"{height:g}"}
    SubElement(parent, "rect", place | {"fill": fill, "stroke": stroke})


def _text(parent: Element, text: str, x: float, y: float, anchor: str = "start") -> Element:
    element = SubElement(parent, "text", {"x": f"{x:g}", "y": f"{y:g}", "text-anchor": anchor})
    element.text = text
    return element
