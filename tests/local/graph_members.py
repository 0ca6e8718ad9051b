"""The people of one audience, found by what identifies them."""

from collections.abc import Iterable
from typing import Final

from tests.local.graph_payload import Person

# What names one person alone. A name, a city, a gender or a country is shared by many: such cells remove a
# person only together, that is, one who has all of them.
STRONG: Final = frozenset(["EMAIL", "PHONE", "MADID", "EXTERN_ID", "PAGEUID", "APPUID", "UID"])

Cell = tuple[str, str]


class Members:
    """
    A set of people; adding one again changes nothing.

    The index of a key is made when a removal first asks for it, and kept from then on.
    """

    def __init__(self) -> None:
        self._people: set[Person] = set()
        self._index: dict[str, dict[Cell, set[Person]]] = {}

    def __len__(self) -> int:
        return len(self._people)

    def snapshot(self) -> set[Person]:
        """Return a copy of the people."""
        return set(self._people)

    def clear(self) -> None:
        """Forget everybody."""
        self._people.clear()
        self._index.clear()

    def add(self, people: Iterable[Person]) -> None:
        """Add *people*."""
        if not self._index:
            self._people.update(people)
            return
        for person in people:
            if person not in self._people:
                self._people.add(person)
                self._enter(person)

    def remove(self, rows: Iterable[Person]) -> int:
        """
        Remove whom each of *rows* names, and return how many went.

        A row names each member who shares an e-mail address, phone, device or id with it; a row without any
        of these, each member who has all of its cells.
        """
        before = len(self._people)
        for row in rows:
            strong = [cell for cell in row if cell[0] in STRONG]
            named = set().union(*map(self._with, strong)) if strong else self._with_all(row)
            for person in named:
                self._discard(person)
        return before - len(self._people)

    def _with(self, cell: Cell) -> set[Person]:
        key = cell[0]
        if key not in self._index:
            self._index[key] = {}
            for person in self._people:
                self._enter(person, only=key)
        return self._index[key].get(cell, set())

    def _with_all(self, row: Person) -> set[Person]:
        fewest = min((self._with(cell) for cell in row), key=len, default=set())
        return {person for person in fewest if row <= person}

    def _enter(self, person: Person, *, only: str = "") -> None:
        for cell in person:
            if cell[0] in self._index and only in {"", cell[0]}:
                self._index[cell[0]].setdefault(cell, set()).add(person)

    def _discard(self, person: Person) -> None:
        self._people.discard(person)
        for cell in person:
            if (entries := self._index.get(cell[0])) is not None and (named := entries.get(cell)):
                named.discard(person)
                if not named:
                    del entries[cell]
