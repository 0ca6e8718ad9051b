"""What the tests read of .tf files, which `terraform fmt` keeps regular enough for a few patterns."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_BLOCK: Final = re.compile(r'^\s*([a-z_]+)((?: "[^"]*")*) \{$')
_ARGUMENT: Final = re.compile(r"^\s*([a-z_0-9]+)\s*=\s*(.*)$")
_STRING: Final = re.compile(r'"(?:[^"\\]|\\.)*"')


@dataclass(frozen=True)
class Argument:
    """An argument of a resource or of a block in it: where it stands, counted from 0, and its name."""

    file: Path
    line: int
    name: str


def arguments(file: Path) -> Iterator[Argument]:
    """Yield the arguments of *file*'s resources; keys of maps are none."""
    blocks: list[str] = []
    depth = 0
    for number, line in enumerate(file.read_text(encoding="utf-8").splitlines()):
        text = _STRING.sub('""', line.partition("#")[0] if '"' not in line else line)
        if depth > 0:
            depth += _opened(text)
        elif found := _BLOCK.match(line):
            blocks.append(found[1])
        elif text.strip() == "}" and blocks:
            blocks.pop()
        elif (found := _ARGUMENT.match(text)) and blocks[:1] == ["resource"]:
            yield Argument(file, number, found[1])
            depth = _opened(found[2])
        elif found := _ARGUMENT.match(text):
            depth = _opened(found[2])


def _opened(text: str) -> int:
    return sum(map(text.count, "{[(")) - sum(map(text.count, "}])"))


@dataclass(frozen=True)
class Variable:
    """A variable as it is declared; *default* None where it has none."""

    name: str
    type: str
    default: str | None
    description: str
    messages: tuple[str, ...]


_DECLARED: Final = re.compile(r'^variable "(\w+)" \{\n(.*?)^\}$', re.MULTILINE | re.DOTALL)


def variables(file: Path) -> list[Variable]:
    """Return the variables that *file* declares."""
    return [_variable(name, body) for name, body in _DECLARED.findall(file.read_text(encoding="utf-8"))]


def _variable(name: str, body: str) -> Variable:
    return Variable(
        name=name,
        type=_value(body, "type") or "",
        default=_value(body, "default"),
        description=(_value(body, "description") or "").strip('"'),
        messages=tuple(text.replace('\\"', '"') for text in re.findall(r'error_message = "(.*)"$', body, re.MULTILINE)),
    )


def _value(body: str, name: str) -> str | None:
    """Return the text of an argument that stands in the block itself, up to the next one."""
    found = re.search(rf"^  {name}\s+= (.*?)(?=^  \S|\Z)", body, re.MULTILINE | re.DOTALL)
    return found[1].strip() + ("" if found[1].count("{") == found[1].count("}") else "\n})") if found else None


def outputs(file: Path) -> list[tuple[str, str]]:
    """Return names and descriptions of the outputs that *file* declares."""
    return re.findall(r'^output "(\w+)" \{\n  description = "(.*)"$', file.read_text(encoding="utf-8"), re.MULTILINE)
