"""
The form of the tag as a picture, drawn from its parameters: what a tag manager sees before importing anything.

It shows what Google Tag Manager's editor shows, in its order and with its rules for what appears when; it is no
screenshot, and its look is only near.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final
from xml.etree import ElementTree as ET

Field = Mapping[str, Any]
Values = Mapping[str, object]


@dataclass(frozen=True, slots=True)
class Example:
    """A form of the picture: what is chosen in it over the defaults, and which closed groups have been opened."""

    title: str
    values: Values
    opened: frozenset[str] = frozenset()


#: The columns of the picture, each from top to bottom.
EXAMPLES: Final[Sequence[Sequence[Example]]] = (
    [Example("An event, over HTTP", {"action": "events", "transport": "http"}, frozenset({"cookiesGroup"}))],
    [
        Example(
            "People for audiences, over Pub/Sub",
            {"action": "add", "transport": "pubsub"},
            frozenset({"dataProcessingGroup", "consentGroup"}),
        ),
        Example("Somebody enters a segment", {"action": "enter", "transport": "pubsub"}),
    ],
)

_WIDTH: Final = 560
_GAP: Final = 24
_INDENT: Final = 16
_LINE: Final = 18
_BOX: Final = 28
#: About how wide a letter is at 12 pixels.
_LETTER: Final = 6.4
_STYLE: Final = """
text { font: 12px Roboto, Arial, sans-serif; fill: #3c4043 }
.title { font-size: 18px; fill: #202124 }
.group { font-size: 14px; font-weight: 500; fill: #202124 }
.label { fill: #5f6368 }
.hint { fill: #9aa0a6 }
.link { fill: #1a73e8 }
.paper, .box { fill: #fff; stroke: #dadce0 }
.head { fill: #f8f9fa; stroke: #dadce0 }
.mark { fill: none; stroke: #5f6368 }
.chosen { fill: #1a73e8; stroke: #1a73e8 }
"""


def is_enabled(field: Field, values: Values) -> bool:
    """Tell whether a field appears: one of its conditions holds, or it has none."""
    conditions = field.get("enablingConditions", ())
    return not conditions or any(
        (values.get(one["paramName"]) == one["paramValue"]) is (one["type"] == "EQUALS") for one in conditions
    )


def children(field: Field, values: Values) -> Sequence[Field]:
    """Return the fields inside of a field: a group's, or those of the chosen radio item."""
    if field["type"] == "RADIO":
        chosen = (item for item in field["radioItems"] if item["value"] == values.get(field["name"]))
        return [inner for item in chosen for inner in item.get("subParams", ())]
    inside: Sequence[Field] = field.get("subParams", ())
    return inside


def all_fields(fields: Sequence[Field]) -> Iterator[Field]:
    """Yield each field, whatever it is in and whether it appears."""
    for field in fields:
        yield field
        yield from all_fields(field.get("subParams", ()))
        for item in field.get("radioItems", ()):
            yield from all_fields(item.get("subParams", ()))


def shown_fields(fields: Sequence[Field], values: Values) -> Iterator[Field]:
    """Yield each field that appears with *values*, over the defaults."""
    values = defaults(fields) | dict(values)

    def inside(level: Sequence[Field]) -> Iterator[Field]:
        for field in level:
            if is_enabled(field, values):
                yield field
                yield from inside(children(field, values))

    yield from inside(fields)


def defaults(fields: Sequence[Field]) -> dict[str, object]:
    """Return the value that each field begins with."""
    return {field["name"]: field["defaultValue"] for field in all_fields(fields) if "defaultValue" in field}


def picture(fields: Sequence[Field]) -> str:
    """Return the picture as SVG."""
    titles = [example.title for column in EXAMPLES for example in column]
    image = ET.Element("svg", {"xmlns": "http://www.w3.org/2000/svg", "role": "img"})
    ET.SubElement(image, "title").text = "The form of the tag Meta Relay. " + ". ".join(titles)
    ET.SubElement(image, "style").text = _STYLE
    left, height = _GAP, 0
    for column in EXAMPLES:
        top = _GAP
        for example in column:
            top = _Form(image, example, defaults(fields), left=left, top=top).draw(fields) + _GAP
        left += _WIDTH + _GAP
        height = max(height, top)
    image.attrib |= {"viewBox": f"0 0 {left} {height}", "width": str(left), "height": str(height)}
    ET.indent(image)
    return ET.tostring(image, encoding="unicode") + "\n"


class _Form:
    """One form, drawn from top to bottom."""

    def __init__(
        self, image: ET.Element, example: Example, before: Mapping[str, object], *, left: int, top: int
    ) -> None:
        self._image = image
        self._example = example
        self._values: Values = {**before, **example.values}
        self._left = left
        self._top = self._y = top
        self._draw_type: Mapping[str, Callable[[Field, int], None]] = {
            "TEXT": self._text_field,
            "SELECT": self._select,
            "RADIO": self._radio,
            "CHECKBOX": self._checkbox,
            "SIMPLE_TABLE": self._table,
            "GROUP": self._group,
        }

    def draw(self, fields: Sequence[Field]) -> int:
        """Draw everything, and return where it ends."""
        paper = self._shape("rect", "paper", x=self._left, y=self._y, width=_WIDTH, rx=8)
        self._y += 30
        self._write(self._example.title, _INDENT, "title")
        self._y += 12
        self._level(fields, _INDENT)
        self._y += _INDENT
        paper.set("height", str(self._y - self._top))
        return self._y

    def _level(self, fields: Sequence[Field], indent: int) -> None:
        for field in fields:
            if is_enabled(field, self._values):
                self._draw_type[field["type"]](field, indent)

    def _group(self, field: Field, indent: int) -> None:
        if field["groupStyle"] == "NO_ZIPPY":
            self._level(children(field, self._values), indent)
            return
        is_open = field["groupStyle"] == "ZIPPY_OPEN" or field["name"] in self._example.opened
        self._y += 26
        self._write(("▾ " if is_open else "▸ ") + field["displayName"], indent, "group")
        self._y += 6
        if is_open:
            self._level(children(field, self._values), indent + _INDENT)

    def _text_field(self, field: Field, indent: int) -> None:
        self._label(field, indent)
        value = str(self._values.get(field["name"], ""))
        self._box(value or field["valueHint"], indent, "" if value else "hint")

    def _select(self, field: Field, indent: int) -> None:
        self._label(field, indent)
        chosen = [
            one["displayValue"] for one in field["selectItems"] if one["value"] == self._values.get(field["name"])
        ]
        box = self._box((chosen or ["Choose"])[0], indent, "" if chosen else "hint")
        self._write("▾", int(box.attrib["width"]) + indent - 18, "label", up=10)

    def _radio(self, field: Field, indent: int) -> None:
        self._label(field, indent)
        for item in field["radioItems"]:
            is_chosen = item["value"] == self._values.get(field["name"])
            self._y += _LINE
            self._shape("circle", "mark", cx=self._left + indent + 6, cy=self._y - 4, r=6)
            if is_chosen:
                self._shape("circle", "chosen", cx=self._left + indent + 6, cy=self._y - 4, r=3)
            self._write(item["displayValue"], indent + 20)
            if is_chosen:
                self._level(item.get("subParams", ()), indent + 20)
        self._y += 4

    def _checkbox(self, field: Field, indent: int) -> None:
        self._y += _LINE + 4
        is_ticked = self._values.get(field["name"]) is True
        self._shape(
            "rect", "chosen" if is_ticked else "mark", x=self._left + indent, y=self._y - 11, width=12, height=12, rx=2
        )
        self._write(field["checkboxText"], indent + 20)
        self._y += 4

    def _table(self, field: Field, indent: int) -> None:
        self._label(field, indent)
        columns = field["simpleTableColumns"]
        width = (_WIDTH - _INDENT - indent) // len(columns)
        for style, key in (("head", "displayName"), ("box", "valueHint")):
            for place, column in enumerate(columns):
                left = indent + place * width
                self._shape("rect", style, x=self._left + left, y=self._y + 4, width=width, height=_BOX)
                text = column.get(key) or "▾"
                self._y += 4 + _BOX
                self._write(self._cut(text, width), left + 8, "label" if style == "head" else "hint", up=10)
                self._y -= 4 + _BOX
            self._y += _BOX
        self._y += 4 + _LINE
        self._write(field["newRowButtonText"], indent, "link")
        self._y += 4

    def _label(self, field: Field, indent: int) -> None:
        self._y += _LINE + 4
        self._write(field["displayName"], indent, "label")

    def _box(self, text: str, indent: int, style: str) -> ET.Element:
        width = _WIDTH - _INDENT - indent
        box = self._shape("rect", "box", x=self._left + indent, y=self._y + 4, width=width, height=_BOX, rx=4)
        self._y += 4 + _BOX
        self._write(self._cut(text, width - 24), indent + 8, style, up=10)
        return box

    @staticmethod
    def _cut(text: str, width: int) -> str:
        most = int((width - 12) / _LETTER)
        return text if len(text) <= most else text[: most - 1] + "…"

    def _write(self, text: str, indent: int, style: str = "", *, up: int = 0) -> None:
        place = {"x": str(self._left + indent), "y": str(self._y - up)}
        ET.SubElement(self._image, "text", place | ({"class": style} if style else {})).text = text

    def _shape(self, kind: str, style: str, **place: int) -> ET.Element:
        attributes = {key: str(value) for key, value in place.items()}
        return ET.SubElement(self._image, kind, {"class": style} | attributes)
