"""Text tables as rows of cells: encodings, line ends, separators, quotes, and rows that are broken."""

from __future__ import annotations

import csv
import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import BinaryIO

from sisock.core.errors import UnusableFile

DIGESTED_AT_ONCE = 2**20
# Cells of larger ones fall out of the caches of a processor, and take three times as long.
BLOCK_BYTES = 2**17
ROWS_OF_A_BLOCK = 100
LARGEST_BLOCK_BYTES = 2**23
LONGEST_ROW_BYTES = 2**24
MOST_LINES_OF_A_ROW = 100
LINES_TO_SNIFF = 20
# Where several fit, a comma is the likeliest to be in a text or a number.
SEPARATORS = ("\t", ";", ",")
COMMENT_SIGN = "#"
UTF16 = (b"\xff\xfe", b"\xfe\xff")
UNCLOSED = "has a quote that is not closed"
BAD_CELL = f"has a carriage return inside, or a cell of more than {csv.field_size_limit()} characters"
UTF8_MARK = b"\xef\xbb\xbf"


@dataclass(frozen=True)
class BlockMark:
    """A place in a file where a row begins.

    Parameters
    ----------
    offset, line
        How many bytes are before it, and the number of the line, from 1.
    digest
        Of the bytes before.
    """

    offset: int = 0
    line: int = 1
    digest: bytes = b""


@dataclass(frozen=True)
class TextBlock:
    """Some whole lines of a file.

    Parameters
    ----------
    mark
        Where they begin.
    text
        The lines, with a line break between them and none at the end.
    last
        Whether no complete line comes after.
    """

    mark: BlockMark
    text: str
    last: bool

    @property
    def first(self) -> int:
        """The number of the first line."""
        return self.mark.line


START = BlockMark()


class ChangedFile(Exception):
    """A file that does not continue what was read of it."""


@dataclass(frozen=True)
class CellRows:
    """Rows as columns of cells.

    Parameters
    ----------
    lines
        Of each row, the number of the line in which it begins.
    columns
        Of each column, the cell in each row.
    broken
        The number of the first line that is no row, and why; None when all are.
    """

    lines: Sequence[int]
    columns: Sequence[Sequence[str]]
    broken: tuple[int, str] | None = None


@dataclass(frozen=True)
class Head:
    """The way in which a file is written.

    Parameters
    ----------
    names
        The cells of the header.
    first
        Number of the line behind the header.
    """

    separator: str
    names: tuple[str, ...]
    first: int


def blocks_of(file: BinaryIO, begin: BlockMark = START) -> Iterator[TextBlock]:
    """Yield the complete lines of a file; a last one without a line break is still being written, and left.

    A block ends behind a row, not inside of quotes, where quotes are closed at all.

    Parameters
    ----------
    begin
        The mark of a block of this file, as it was before it grew: that block is the first.

    Raises
    ------
    UnusableFile
        For what is no text in an encoding that ends lines as ASCII does.
    ChangedFile
        When other bytes are before ``begin`` now.
    """
    # The digest of what was read comes from the same bytes that are parsed: the file may change in between.
    before = _digest_until(file, begin)
    raw, size = _first_bytes(file)
    if begin is START and raw.startswith(UTF16):
        raise UnusableFile("is written in UTF-16: save it as UTF-8")
    line_break = _line_break(raw)
    mark, waiting = begin, b""
    while raw:
        # Read in advance, so that the last block is known to be the last.
        following = file.read(size)
        complete, line_end, rest = (waiting + raw).rpartition(line_break)
        if len(rest) > LONGEST_ROW_BYTES:
            raise UnusableFile(f"has more than {LONGEST_ROW_BYTES} bytes in line {mark.line}, without a line break")
        if following:
            complete, unclosed = _closed(complete, line_break)
            rest = unclosed + rest
        if line_end:
            text = _decoded(complete if mark.offset else complete.removeprefix(UTF8_MARK), line_break)
            yield TextBlock(mark, text, last=not following)
            before.update(complete + line_break)
            offset = mark.offset + len(complete) + len(line_break)
            mark = BlockMark(offset, mark.line + text.count("\n") + 1, before.digest())
        raw, waiting = following, rest


def _digest_until(file: BinaryIO, mark: BlockMark) -> hashlib.blake2b:
    """Read up to a mark; ChangedFile when it is not where it was."""
    digest = hashlib.blake2b(digest_size=16)
    for place in range(0, mark.offset, DIGESTED_AT_ONCE):
        digest.update(file.read(min(DIGESTED_AT_ONCE, mark.offset - place)))
    if mark.offset and digest.digest() != mark.digest:
        raise ChangedFile
    return digest


def head_of(block: TextBlock) -> Head:
    """Return how a file is written, by its first lines; the header may be the last of the comments above.

    Raises
    ------
    UnusableFile
        When there is no header of several columns.
    """
    lines = block.text.split("\n")
    comments = [place for place, line in enumerate(lines) if line.startswith(COMMENT_SIGN)]
    place = next((place for place, line in enumerate(lines) if line.strip() and place not in set(comments)), None)
    if place is None:
        raise UnusableFile("has no header")
    separator = _separator(lines[place : place + LINES_TO_SNIFF])
    header = _record(lines, place, separator)
    if header.why:
        raise UnusableFile(f"has no header that can be read: line {block.first + place} {header.why}")
    if not all(map(_looks_like_data, header.cells)):
        return Head(separator, header.cells, block.first + header.stop)
    # As numpy.savetxt writes it.
    if place and place - 1 in comments:
        names = _record([lines[place - 1].lstrip(COMMENT_SIGN)], 0, separator).cells
        if len(names) == len(header.cells):
            return Head(separator, names, block.first + place)
    raise UnusableFile("has no header: its first line must name the columns")


def lines_of(block: TextBlock, head: Head) -> list[str]:
    """Return the lines of a block that are behind the header."""
    return block.text.split("\n")[max(head.first - block.first, 0) :]


def rows_of(block: TextBlock, head: Head) -> CellRows:
    """Return the rows of a block that have a cell for each column; they may have more that are empty."""
    first, lines, width = max(head.first, block.first), lines_of(block, head), len(head.names)
    # All at once where nothing in the text speaks against it.
    if not _takes_care(block.text):
        try:
            records = list(csv.reader(lines, delimiter=head.separator, skipinitialspace=True))
        except csv.Error:
            records = []
        # As many records as lines: none goes on over several, and their numbers are those of the lines.
        if len(records) == len(lines) and all(map(width.__eq__, map(len, records))):
            return CellRows(range(first, first + len(lines)), list(zip(*records, strict=True)))
    return _rows_one_by_one(lines, first, head, last=block.last)


def _takes_care(text: str) -> bool:
    """Tell whether something is in a text that makes a line no row, or a row that is not finished."""
    return text.startswith(COMMENT_SIGN) or "\n#" in text or "\0" in text or text.count('"') % 2 == 1


@dataclass(frozen=True)
class _Record:
    """The cells of what begins in a line, none for a comment; the place behind it; and why it is no row."""

    cells: tuple[str, ...]
    stop: int
    why: str | None = None


def _rows_one_by_one(lines: list[str], first: int, head: Head, *, last: bool) -> CellRows:
    """Return the rows of lines, each looked at on its own, and the first line that is none."""
    width = len(head.names)
    numbers, records = list[int](), list[tuple[str, ...]]()
    broken = None
    place = 0
    while place < len(lines):
        record = _record(lines, place, head.separator)
        why = _misfit(record, width)
        if why is None and record.cells:
            numbers.append(first + place)
            records.append(record.cells[:width])
        elif why is not None:
            if last and why == UNCLOSED and not _any_row(lines[place + 1 :], head):
                # The text of a cell is still being written.
                break
            broken = broken or (first + place, why)
        # A stray quote may have made one broken row of several good ones.
        place = record.stop if why is None else place + 1
    return CellRows(numbers, list(zip(*records, strict=True)) or [()] * width, broken)


def _record(lines: Sequence[str], place: int, separator: str) -> _Record:
    if lines[place].startswith(COMMENT_SIGN) or not lines[place].strip():
        return _Record((), place + 1)
    # The line behind those that a row may have is a sentinel: who reads it was inside of quotes.
    own = [f"{line}\n" for line in lines[place : place + MOST_LINES_OF_A_ROW]]
    reader = csv.reader([*own, ""], delimiter=separator, skipinitialspace=True)
    try:
        cells = next(reader)
    except csv.Error:
        return _Record((), place + 1, BAD_CELL)
    if reader.line_num > len(own):
        return _Record(tuple(cells), place + 1, UNCLOSED)
    return _Record(tuple(cells), place + reader.line_num)


def _misfit(record: _Record, width: int) -> str | None:
    """Return why a record is no row of so many cells; it may have more that are empty."""
    cells = record.cells
    if record.why or not cells:
        return record.why
    if any("\0" in cell for cell in cells):
        return "has a NUL byte"
    if len(cells) < width or any(cells[width:]):
        return f"has {len(cells)} cells, not {width}"
    return None


def _any_row(lines: Sequence[str], head: Head) -> bool:
    records = (_record(lines, place, head.separator) for place in range(len(lines)))
    return any(record.cells and _misfit(record, len(head.names)) is None for record in records)


def _first_bytes(file: BinaryIO) -> tuple[bytes, int]:
    """Return a first block, and how long blocks are: types are told by it, for which it needs some rows."""
    raw = file.read(BLOCK_BYTES)
    width = len(raw.partition(_line_break(raw))[0])
    size = min(max(BLOCK_BYTES, ROWS_OF_A_BLOCK * width), LARGEST_BLOCK_BYTES)
    return raw + file.read(size - len(raw)), size


def _line_break(raw: bytes) -> bytes:
    # Old Macintosh computers write carriage returns alone; beside line feeds, these are what ends lines.
    return b"\r" if b"\r" in raw and b"\n" not in raw else b"\n"


def _closed(complete: bytes, line_break: bytes) -> tuple[bytes, bytes]:
    """Split lines where the quotes of all before are closed; not at all when no such place is near the end."""
    stop, quotes = len(complete), complete.count(b'"')
    while quotes % 2:
        place = complete.rfind(line_break, 0, stop)
        if place < 0 or len(complete) - place > max(BLOCK_BYTES, len(complete) // 2):
            return complete, b""
        quotes -= complete.count(b'"', place, stop)
        stop = place
    return complete[:stop], complete[stop + 1 :] + line_break if stop < len(complete) else b""


def _decoded(raw: bytes, line_break: bytes) -> str:
    """Decode as UTF-8; lines that are none as Latin-1, which old stations write degree signs in."""
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError:
        text = "\n".join(map(_decoded_line, raw.split(line_break)))
    if "\r" not in text:
        return text
    return text.replace("\r", "\n") if line_break == b"\r" else text.replace("\r\n", "\n").removesuffix("\r")


def _decoded_line(line: bytes) -> str:
    try:
        return line.decode("utf-8")
    except UnicodeDecodeError:
        return line.decode("latin-1")


def _separator(lines: Sequence[str]) -> str:
    """Return what separates the header, the first of the lines, into most cells, as far as the others have as many."""

    def merit(separator: str) -> tuple[float, int]:
        header, *others = (_record(lines, place, separator).cells for place in range(len(lines)))
        alike = sum(len(cells) == len(header) for cells in others) if len(header) > 1 else -1
        return alike, len(header)

    best = max(SEPARATORS, key=merit)
    if merit(best)[1] < 2:  # noqa: PLR2004 - a time and a value
        raise UnusableFile("has no header of several columns: they are separated by commas, semicolons or tabs")
    return best


def _looks_like_data(cell: str) -> bool:
    """Tell whether a cell is empty or a number or begins as a date, which names of columns are not."""
    text = cell.strip().replace(",", ".")
    try:
        float(text)
    except ValueError:
        return not text or (text[:4].isdigit() and text[4:5] in ("-", "/"))
    return True
