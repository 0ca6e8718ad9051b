"""
Values -> cells: what a column holds becomes what Meta gets, hashed or plain.

Most columns of a batch repeat their values (countries, first names), so each remembers the distinct ones it has seen,
for as long as the batch is built and no longer: they are people's data.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from hashlib import sha256
from itertools import compress
from typing import Any, Final

from lib.hashing import DIGEST_LENGTHS, HASH_OF_NOTHING, as_sha256_hex, is_foreign_digest, sha256_hex
from lib.identifiers import EXTERN_ID, Identifier
from lib.normalization import ASCII_EDGES, BLANK_LENGTHS, BLANKS, Context, Settings, UnusableValueError, clean
from lib.regions import country_code
from lib.report import Report

#: Whole numbers up to here are exact in JSON; above, a reader may already have rounded them.
#: -- https://www.rfc-editor.org/rfc/rfc8259#section-6
_EXACT: Final = 2**53


#: What reading a column raises where something in it is neither text nor null. Most columns hold nothing else, and
#: asking each value first would cost a tenth of the whole: the processor waits for the memory of each.
_NOT_TEXT: Final = (AttributeError, TypeError)


class Cells:
    """
    Text or None -> cell, for one identifier and country; each distinct text is normalized and hashed once.

    Args:
        identifier: The row of the table.
        context: The connection's settings and the country of the rows.
    """

    __slots__ = ("context", "is_unique", "make", "seen", "unusable")

    def __init__(self, identifier: Identifier, context: Context) -> None:
        self.context = context
        self.is_unique = identifier.unique
        #: Text -> cell.
        self.seen: dict[str | None, str] = {None: ""}
        #: Text -> why it cannot be used.
        self.unusable: dict[str | None, str] = {}
        is_hashed = identifier.hashed and (context.settings.hash_external_id or identifier.key != EXTERN_ID)
        #: Makes the cell of a text that has not been seen.
        self.make: Callable[[Any], str] = _hashed(identifier, self) if is_hashed else _plain(identifier, self)

    def __getitem__(self, text: str | None) -> str:
        """Return one cell; `column` and `by_country` are for many."""
        (cell,) = self.column((text,))
        return cell

    def column(self, texts: Iterable[Any]) -> list[str]:
        """Return the cells of *texts*."""
        get, make = self.seen.get, self.make
        if self.is_unique:
            return [make(text) if text is not None else "" for text in texts]
        column = []
        for text in texts:
            cell = get(text)
            if cell is None:
                cell = make(text)
            column.append(cell)
        return column


def by_country(texts: Iterable[Any], countries: Iterable[str | None], of: Mapping[str | None, Cells]) -> list[str]:
    """Return the cells of *texts*, each as its row's country has it."""
    ways = {country: (cells.seen.get, cells.make) for country, cells in of.items()}
    column = []
    for text, (get, make) in zip(texts, map(ways.__getitem__, countries), strict=True):
        cell = get(text)
        if cell is None:
            cell = make(text)
        column.append(cell)
    return column


# The hot path: each of the two runs for every other cell of a batch. What they look at stands in their closures, and
# nothing is called that need not be.


def _hashed(identifier: Identifier, cells: Cells) -> Callable[[str], str]:
    rule, context, unusable = identifier.rule, cells.context, cells.unusable
    remember = None if identifier.unique else cells.seen.__setitem__
    # A copy of an empty hash costs a tenth less than a new one.
    new_digest = sha256().copy

    def make(raw: str) -> str:
        # What `clean` does, for most texts without a call.
        text = raw.strip(ASCII_EDGES) if raw.isascii() else clean(raw)
        cell = None
        try:
            if len(text) in _SPECIAL_LENGTHS:
                if len(text) in DIGEST_LENGTHS:
                    cell = _digest(text, identifier)
                elif text.lower() in BLANKS:
                    cell = ""
            if cell is None and (cell := rule(text, context)):
                digest = new_digest()
                digest.update(cell.encode())
                cell = digest.hexdigest()
        except UnusableValueError as error:
            cell = ""
            unusable[raw] = str(error)
        if remember is not None:
            remember(raw, cell)
        return cell

    return make


def _plain(identifier: Identifier, cells: Cells) -> Callable[[str], str]:
    rule, context, unusable = identifier.rule, cells.context, cells.unusable
    remember = None if identifier.unique else cells.seen.__setitem__

    def make(raw: str) -> str:
        text = clean(raw)
        try:
            cell = rule(text, context) if text else ""
        except UnusableValueError as error:
            cell = ""
            unusable[raw] = str(error)
        if remember is not None:
            remember(raw, cell)
        return cell

    return make


_SPECIAL_LENGTHS: Final = BLANK_LENGTHS | DIGEST_LENGTHS


def _digest(text: str, identifier: Identifier) -> str | None:
    """Return the digest that *text* is already, None for plain text."""
    if digest := as_sha256_hex(text):
        if digest[0] == HASH_OF_NOTHING:
            raise UnusableValueError("the hash of an empty text")
        return digest[0]
    # A customer number may well have 32 hexadecimal digits; nothing else that is hashed has.
    if is_foreign_digest(text) and identifier.key != EXTERN_ID:
        raise UnusableValueError("an MD5 or SHA-1 hash, of which Meta takes neither")
    return None


class DateCells(dict[str | None, tuple[str, str, str]]):
    """Text of a whole date, or None -> its cells DOBY, DOBM and DOBD."""

    def __init__(self, identifier: Identifier, context: Context) -> None:
        super().__init__({None: ("", "", "")})
        self._identifier = identifier
        self._context = context
        self.unusable: dict[str | None, str] = {}

    def __missing__(self, raw: str) -> tuple[str, str, str]:
        cells = ("", "", "")
        if text := clean(raw):
            try:
                cells = self._cells(text)
            except UnusableValueError as error:
                self.unusable[raw] = str(error)
        self[raw] = cells
        return cells

    def __repr__(self) -> str:
        """Return the name of the class: the memo holds people's data."""
        return f"<{type(self).__name__}>"

    def _cells(self, text: str) -> tuple[str, str, str]:
        if as_sha256_hex(text) or is_foreign_digest(text):
            raise UnusableValueError("the hash of a whole date, which has no column: send DOBY, DOBM and DOBD")
        normal = self._identifier.rule(text, self._context)
        return sha256_hex(normal[:4]), sha256_hex(normal[4:6]), sha256_hex(normal[6:])


class ColumnReader:
    """
    Turns columns of raw values into columns of cells, and reports what cannot be used.

    Args:
        settings: The connection's.
        numbers: The rows' numbers in the request.
        report: Takes the rejects and the doubts.
    """

    def __init__(self, settings: Settings, numbers: Sequence[int], report: Report) -> None:
        self._settings = settings
        self._numbers = numbers
        self._report = report
        #: Alpha-2 codes of the rows, once `read_countries` has seen them.
        self.countries: Sequence[str | None] = ()

    def read_countries(self, column: Sequence[Any]) -> None:
        """Note the rows' countries, which phones, states and ZIP codes depend on."""
        try:
            codes = {text: country_code(clean(text)) if text else None for text in set(column)}
        except _NOT_TEXT:
            column = [as_text(value) or "" for value in column]
            codes = {text: country_code(clean(text)) for text in set(column)}
        self.countries = list(map(codes.__getitem__, column))

    def _texts(self, key: str, column: Sequence[object]) -> list[str | None]:
        """Return the column as texts: numbers are read as text, and what is neither is reported; null stays None."""
        texts: list[Any] = list(column)
        for place, value in enumerate(column):
            if type(value) is not str and value is not None:
                texts[place] = as_text(value)
                if texts[place] is None:
                    self._report.reject_cell(self._numbers[place], key, _why_not_text(value))
        return texts

    def cells(self, identifier: Identifier, column: Sequence[Any]) -> list[str]:
        """Return the column's cells."""
        try:
            return self._cells(identifier, column)
        except _NOT_TEXT:
            return self._cells(identifier, self._texts(identifier.key, column))

    def _cells(self, identifier: Identifier, texts: Sequence[str | None]) -> list[str]:
        if identifier.by_country and len(set(self.countries)) > 1:
            return self._cells_by_country(identifier, texts)
        country = self.countries[0] if identifier.by_country and self.countries else None
        cells = Cells(identifier, Context(self._settings, country))
        column = cells.column(texts)
        self._note(identifier.key, zip(self._numbers, texts, strict=True), cells.unusable)
        self._warn(identifier.key, cells.context.doubts)
        return column

    def _cells_by_country(self, identifier: Identifier, texts: Sequence[str | None]) -> list[str]:
        of = {country: Cells(identifier, Context(self._settings, country)) for country in set(self.countries)}
        column = by_country(texts, self.countries, of)
        if any(cells.unusable for cells in of.values()):
            empty = [not cell for cell in column]
            for number, text, country in compress(zip(self._numbers, texts, self.countries, strict=True), empty):
                if text in of[country].unusable:
                    self._report.reject_cell(number, identifier.key, of[country].unusable[text])
        self._warn(identifier.key, {doubt for cells in of.values() for doubt in cells.context.doubts})
        return column

    def date_columns(self, identifier: Identifier, column: Sequence[Any]) -> list[list[str]]:
        """Return the columns DOBY, DOBM and DOBD of a column of whole dates."""
        try:
            return self._date_columns(identifier, column)
        except _NOT_TEXT:
            return self._date_columns(identifier, self._texts(identifier.key, column))

    def _date_columns(self, identifier: Identifier, texts: Sequence[str | None]) -> list[list[str]]:
        context = Context(self._settings)
        cells = DateCells(identifier, context)
        columns = list(zip(*map(cells.__getitem__, texts), strict=True)) or [(), (), ()]
        self._note(identifier.key, zip(self._numbers, texts, strict=True), cells.unusable)
        self._warn(identifier.key, context.doubts)
        return [list(column) for column in columns]

    def _note(self, key: str, rows: Iterable[tuple[int, str | None]], unusable: Mapping[str | None, str]) -> None:
        for number, text in rows if unusable else ():
            if text in unusable:
                self._report.reject_cell(number, key, unusable[text])

    def _warn(self, key: str, doubts: set[str]) -> None:
        for doubt in sorted(doubts):
            self._report.warn(f"{key}: {doubt}")


def as_text(value: object) -> str | None:
    """Return a JSON value as text: `""` for null, whole numbers in digits; None for what is no text or number."""
    if isinstance(value, str) or value is None:
        return value or ""
    if isinstance(value, float) and value.is_integer():
        return str(int(value)) if abs(value) < _EXACT else None
    return str(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def _why_not_text(value: object) -> str:
    if isinstance(value, float):
        return "a number too large to be read exactly: send it as text"
    return "neither text nor number"
