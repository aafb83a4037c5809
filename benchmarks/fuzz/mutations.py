"""Ways to break a file, by what it is: bytes, a table, JSON or YAML, a header of fixed or of named fields.

A mutation takes the content and a generator, and gives broken content. Several are applied one after the other.
"""

from __future__ import annotations

import contextlib
import gzip
import json
import struct
import zlib
from collections.abc import Callable
from typing import Any

import numpy as np
import yaml

Mutation = Callable[[bytes, np.random.Generator], bytes]

#: What stands in cells and fields of files that people bring, or could.
NASTY = (
    *("", " ", "n/a", "NA", "nan", "NaN", "inf", "-inf", "1e308", "-1e308", "1e400", "1e-400", "0", "-0", "-1"),
    *("1.5", "1,5", "0x10", "1_000", "9" * 30, "9" * 400, "9" * 5000, "32767", "2147483648", "9223372036854775808"),
    *(
        "true",
        "None",
        "null",
        "[]",
        "{}",
        "[1, 2]",
        "a" * 70_000,
        "\x00",
        "a\x00b",
        "é",
        "µV",
        "\ufeff",
        "\u202e",
        "😀",
    ),
    *(
        "../../x",
        "/etc/passwd",
        "a/b",
        "C:\\x",
        "$(touch x)",
        "`x`",
        ";x",
        "<script>alert(1)</script>",
        '"',
        '"""',
        "'",
    ),
    *(
        "=1+1",
        "{{7*7}}",
        "%s%n",
        "{0}",
        "{a.b}",
        "\\",
        "\r",
        "\x0b",
        "\x1c",
        "\x85",
        "\u2028",
        "-",
        "--",
        "#",
        "٣",
        "Ⅷ",
    ),
)
NASTY_VALUES: tuple[Any, ...] = (
    *(
        None,
        True,
        False,
        0,
        -1,
        1.5,
        1e308,
        float("nan"),
        float("inf"),
        10**30,
        10**400,
        -(10**400),
        "",
        "x",
        "n/a",
        "1",
    ),
    *(
        [],
        {},
        [None],
        [[]],
        {"a": {}},
        [1, "x", None],
        list(range(300)),
        {"": 0},
        "a" * 5000,
        "../..",
        "\x00",
        "\ud800",
    ),
)
_ENCODINGS = ("utf-16", "utf-16-le", "utf-32", "latin-1", "utf-8-sig", "cp037")


def _span(content: bytes, rng: np.random.Generator) -> tuple[int, int]:
    start, stop = np.sort(rng.integers(0, len(content) + 1, 2))
    return int(start), int(min(stop, start + rng.choice([1, 4, 64, 10_000])))


def flip(content: bytes, rng: np.random.Generator) -> bytes:
    """Change some bits."""
    broken = bytearray(content)
    for _ in range(int(rng.integers(1, 9)) if content else 0):
        broken[rng.integers(len(broken))] ^= 1 << int(rng.integers(8))
    return bytes(broken)


def cut(content: bytes, rng: np.random.Generator) -> bytes:
    """Leave the beginning."""
    return content[: int(rng.integers(0, len(content) + 1))]


def take_out(content: bytes, rng: np.random.Generator) -> bytes:
    """Leave out a piece."""
    start, stop = _span(content, rng)
    return content[:start] + content[stop:]


def repeat(content: bytes, rng: np.random.Generator) -> bytes:
    """Repeat a piece, up to a thousand times."""
    start, stop = _span(content, rng)
    return content[:start] + content[start:stop] * int(rng.choice([2, 3, 50, 1000])) + content[stop:]


def put_in(content: bytes, rng: np.random.Generator) -> bytes:
    """Put noise or a nasty word somewhere."""
    at = int(rng.integers(0, len(content) + 1))
    word = rng.bytes(int(rng.choice([1, 8, 300]))) if rng.random() < 0.4 else _word(rng).encode("utf-8", "replace")
    return content[:at] + word + content[at:]


def zero(content: bytes, rng: np.random.Generator) -> bytes:
    """Write zeros over a piece, as a full disk leaves them."""
    start, stop = _span(content, rng)
    return content[:start] + bytes(stop - start) + content[stop:]


def recode(content: bytes, rng: np.random.Generator) -> bytes:
    """Write the text in another encoding, with other line ends, or with a byte-order mark."""
    text = content.decode("utf-8", "replace")
    choice = int(rng.integers(len(_ENCODINGS) + 4))
    if choice < len(_ENCODINGS):
        return text.encode(_ENCODINGS[choice], "replace")
    ends = ("\r\n", "\r", "\n\n", "\x85")
    return text.replace("\n", ends[choice - len(_ENCODINGS)]).encode("utf-8")


def replace_all(_content: bytes, rng: np.random.Generator) -> bytes:
    """Put something else in the place of the whole file: nothing, noise, zeros, another format."""
    other = (
        b"",
        b"\n",
        b"\x00" * 512,
        b"\xef\xbb\xbf",
        b"\xff\xfe",
        b"[]",
        b"0",
        b'"x"',
        b"<html></html>",
        b"\t\t\t\n\t",
    )
    choice = int(rng.integers(len(other) + 2))
    if choice < len(other):
        return other[choice]
    return rng.bytes(2000) if choice == len(other) else gzip.compress(b"name\tx\n" * 50)


BYTES: tuple[Mutation, ...] = (flip, cut, take_out, repeat, put_in, zero)
TEXT: tuple[Mutation, ...] = (*BYTES, recode, replace_all)


def _word(rng: np.random.Generator) -> str:
    return NASTY[int(rng.integers(len(NASTY)))]


# ---- tables


def table(separator: str) -> tuple[Mutation, ...]:
    """Mutations of a table whose cells are separated by a sign (or by blanks, for an empty one)."""

    def change(content: bytes, rng: np.random.Generator) -> bytes:
        rows = [line.split(separator or None) for line in content.decode("utf-8", "replace").split("\n")]
        glue = separator or " "
        rows = _TABLE[int(rng.integers(len(_TABLE)))](rows, rng)
        return "\n".join(glue.join(row) for row in rows).encode("utf-8", "replace")

    return (change, change, change, *TEXT)


Rows = list[list[str]]


def _cells(rows: Rows, rng: np.random.Generator) -> Rows:
    for _ in range(int(rng.integers(1, 6))):
        row = rows[int(rng.integers(len(rows)))]
        if row:
            row[int(rng.integers(len(row)))] = _word(rng)
    return rows


def _column_of_words(rows: Rows, rng: np.random.Generator) -> Rows:
    at, word = int(rng.integers(max(1, len(rows[0])))), _word(rng)
    return [
        row if not number or at >= len(row) else [*row[:at], word, *row[at + 1 :]] for number, row in enumerate(rows)
    ]


def _twice_a_row(rows: Rows, rng: np.random.Generator) -> Rows:
    at = int(rng.integers(len(rows)))
    return rows[:at] + [rows[at]] * int(rng.choice([2, 3, 300])) + rows[at + 1 :]


def _without_a_row(rows: Rows, rng: np.random.Generator) -> Rows:
    at = int(rng.integers(len(rows)))
    return rows[:at] + rows[at + 1 :] or [[]]


def _twice_a_column(rows: Rows, rng: np.random.Generator) -> Rows:
    at, times = int(rng.integers(max(1, len(rows[0])))), int(rng.choice([2, 3, 200]))
    return [row[:at] + row[at : at + 1] * times + row[at + 1 :] for row in rows]


def _without_a_column(rows: Rows, rng: np.random.Generator) -> Rows:
    at = int(rng.integers(max(1, len(rows[0]))))
    return [row[:at] + row[at + 1 :] for row in rows]


def _swapped(rows: Rows, rng: np.random.Generator) -> Rows:
    order = rng.permutation(len(rows))
    return [rows[int(k)] for k in order]


def _on_its_side(rows: Rows, rng: np.random.Generator) -> Rows:
    width = max(len(row) for row in rows)
    return [[row[k] if k < len(row) else "" for row in rows] for k in range(width)] or [[]]


def _header_alone(rows: Rows, rng: np.random.Generator) -> Rows:
    return rows[:1]


def _other_header(rows: Rows, rng: np.random.Generator) -> Rows:
    header = [_word(rng) if rng.random() < 0.3 else cell for cell in rows[0]]
    return [header, *rows[1:]]


def _ragged(rows: Rows, rng: np.random.Generator) -> Rows:
    at = int(rng.integers(len(rows)))
    row = rows[at][:-1] if rng.random() < 0.5 else [*rows[at], _word(rng)]
    return [*rows[:at], row, *rows[at + 1 :]]


_TABLE: tuple[Callable[[Rows, np.random.Generator], Rows], ...] = (
    *(_cells, _cells, _cells, _column_of_words, _column_of_words, _twice_a_row, _without_a_row, _twice_a_column),
    *(_without_a_column, _swapped, _on_its_side, _header_alone, _other_header, _ragged),
)


# ---- JSON and YAML


def _places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    found = [path] if path else []
    keys = value.keys() if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ()
    for key in keys:
        found += _places(value[key], (*path, key))
    return found


def _altered(value: Any, rng: np.random.Generator) -> Any:
    """Change, remove or wrap something in a nested value."""
    places = _places(value)
    if not places or rng.random() < 0.05:
        return NASTY_VALUES[int(rng.integers(len(NASTY_VALUES)))]
    *way, key = places[int(rng.integers(len(places)))]
    holder = value
    for step in way:
        holder = holder[step]
    what = rng.random()
    if what < 0.6:
        holder[key] = NASTY_VALUES[int(rng.integers(len(NASTY_VALUES)))]
    elif what < 0.75:
        holder[key] = [holder[key]] if rng.random() < 0.5 else {"value": holder[key]}
    elif what < 0.9:
        del holder[key]
    elif isinstance(holder, dict):
        holder[_word(rng)] = holder[key]
    return value


def json_value(content: bytes, rng: np.random.Generator) -> bytes:
    """Change values of a JSON file."""
    try:
        value = json.loads(content)
    except (ValueError, RecursionError):
        return content
    for _ in range(int(rng.integers(1, 4))):
        value = _altered(value, rng)
    return json.dumps(value).encode("utf-8")


def json_text(content: bytes, rng: np.random.Generator) -> bytes:
    """Nest deeply, repeat a key, put long numbers."""
    deep = int(rng.choice([50, 2000, 100_000]))
    texts = (
        b"[" * deep + b"]" * deep,
        b'{"a":' * deep + b"1" + b"}" * deep,
        content.replace(b"{", b'{"EchoTime": [1], "EchoTime": {}, ', 1),
        content.replace(b":", b": " + b"[" * deep + b"]" * deep + b', "y":', 1),
        content.replace(b": 2", b": " + b"2" * deep, 1),
        content.replace(b"2", b"2e999", 1),
        content.replace(b",", b",,", 1),
    )
    return texts[int(rng.integers(len(texts)))]


JSON: tuple[Mutation, ...] = (json_value, json_value, json_value, json_text, *TEXT)


def yaml_value(content: bytes, rng: np.random.Generator) -> bytes:
    """Change values of a YAML file."""
    try:
        value = yaml.safe_load(content)
    except (yaml.YAMLError, ValueError, RecursionError):
        return content
    for _ in range(int(rng.integers(1, 4))):
        value = _altered(value, rng)
    return json.dumps(value).encode("utf-8") if rng.random() < 0.2 else yaml.safe_dump(value).encode("utf-8", "replace")


def yaml_text(content: bytes, rng: np.random.Generator) -> bytes:
    """Aliases that multiply, tags of Python, merges, dates that are none, deep nesting."""
    deep = int(rng.choice([50, 2000, 20_000]))
    layers = [b"a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    layers += [b"a%d: &a%d [%s]" % (k, k, b", ".join([b"*a%d" % (k - 1)] * 9)) for k in range(1, 12)]
    texts = (
        b"\n".join(layers) + b"\nfunc: *a11\n",
        b"func: !!python/object/apply:os.system ['touch pwned']\n",
        b"func: !!python/name:os.system\n",
        b"func: &x {a: *x}\n",
        b"func: &x\n  confounds: *x\n",
        b"<<: [1, 2]\nfunc: {}\n",
        b"device: 2024-13-45\n",
        b"random_seed: 0o9\n",
        b"random_seed: " + b"9" * deep + b"\n",
        b"random_seed: 1:" + b"59:" * deep + b"1\n",
        b"device: " + b"[" * deep + b"]" * deep + b"\n",
        b"? {a: b}\n: 1\n",
        b"? [a]\n: 1\n",
        b"1: 2\nnull: 3\ntrue: 4\n",
        content + b"---\n" + content,
        content.replace(b":", b":\t", 1),
        content + b"device: !!binary =====\n",
        content + b"device: !!float x\n",
        content + b"device: !!timestamp x\n",
    )
    return texts[int(rng.integers(len(texts)))]


YAML: tuple[Mutation, ...] = (yaml_value, yaml_value, yaml_value, yaml_text, yaml_text, *TEXT)


def xml_text(content: bytes, rng: np.random.Generator) -> bytes:
    """Entities that multiply, files that are named, deep nesting, numbers that are none."""
    deep = int(rng.choice([50, 2000, 100_000]))
    entities = b"".join(b'<!ENTITY e%d "%s">' % (k, b"&e%d;" % (k - 1) * 10) for k in range(1, 12))
    texts = (
        b'<!DOCTYPE x [<!ENTITY e0 "xxxxxxxxxx">'
        + entities
        + b"]>"
        + content.partition(b"?>")[2].replace(b"LH_", b"&e11;"),
        b'<!DOCTYPE x [<!ENTITY e SYSTEM "file:///etc/passwd">]>' + content.partition(b"?>")[2].replace(b"LH_", b"&e;"),
        b"<a>" * deep + b"</a>" * deep,
        content.replace(b"<index>1<", b"<index>" + _word(rng).encode("utf-8", "replace") + b"<"),
        content.replace(b"<name>", b"<name><name>", 1),
        content.replace(b"label", b"a:label"),
    )
    return texts[int(rng.integers(len(texts)))]


XML: tuple[Mutation, ...] = (xml_text, xml_text, *TEXT)


# ---- binary and text headers


def fields(offsets: dict[int, str]) -> tuple[Mutation, ...]:
    """Mutations of a binary header with fields at these offsets (as `struct` writes them, little-endian)."""
    extremes: dict[str, tuple[float, ...]] = {
        "h": (0, 1, -1, -32768, 32767, 2, 7, 8, 255, 1792, 2304),
        "i": (0, 1, -1, -(2**31), 2**31 - 1, 348, 540),
        "f": (0, 1, -1, float("nan"), float("inf"), -float("inf"), 3e38, 1e-45, 352, 1e9, 2**31, -352),
        "b": (0, -1, 127, -128),
    }

    def change(content: bytes, rng: np.random.Generator) -> bytes:
        broken = bytearray(content)
        for _ in range(int(rng.integers(1, 4))):
            offset = int(rng.choice(list(offsets)))
            if offset + struct.calcsize(offsets[offset]) <= len(broken):
                values = extremes[offsets[offset]]
                struct.pack_into("<" + offsets[offset], broken, offset, values[int(rng.integers(len(values)))])
        return bytes(broken)

    return (change, change, change, *BYTES, replace_all)


def columns(widths: tuple[tuple[int, int], ...]) -> tuple[Mutation, ...]:
    """Mutations of a header of text fields of fixed (offset, width)."""

    def change(content: bytes, rng: np.random.Generator) -> bytes:
        broken = bytearray(content)
        for _ in range(int(rng.integers(1, 4))):
            offset, width = widths[int(rng.integers(len(widths)))]
            word = _word(rng).encode("latin-1", "replace")[:width].ljust(width)
            broken[offset : offset + width] = word
        return bytes(broken)

    return (change, change, change, *BYTES, replace_all)


def named_values(content: bytes, rng: np.random.Generator) -> bytes:
    """Change a value of a file of ``key=value`` lines."""
    lines = content.split(b"\n")
    for _ in range(int(rng.integers(1, 4))):
        at = int(rng.integers(len(lines)))
        key, equals, value = lines[at].partition(b"=")
        word = _word(rng).encode("utf-8", "replace")
        if equals and b"," in value and rng.random() < 0.5:
            parts = value.split(b",")
            parts[int(rng.integers(len(parts)))] = word
            word = b",".join(parts)
        lines[at] = key + equals + word if equals else word
    return b"\n".join(lines)


INI: tuple[Mutation, ...] = (named_values, named_values, named_values, *TEXT)


def packed(inner: tuple[Mutation, ...]) -> tuple[Mutation, ...]:
    """Mutations of a gzip file: of what is in it, packed again, or of the packed bytes; and bombs."""

    def change(content: bytes, rng: np.random.Generator) -> bytes:
        try:
            plain = gzip.decompress(content)
        except (OSError, EOFError, ValueError, zlib.error):
            return content
        return gzip.compress(inner[int(rng.integers(len(inner)))](plain, rng), 1, mtime=0)

    def members(content: bytes, rng: np.random.Generator) -> bytes:
        return content + gzip.compress(b"x" * int(rng.choice([0, 10, 10**6])), 1, mtime=0)

    return (change, change, change, members, *BYTES, replace_all)


def mutate(content: bytes, ways: tuple[Mutation, ...], rng: np.random.Generator) -> bytes:
    """Break a file in one to three ways; what is broken already may be beyond a way that knows its format."""
    for _ in range(int(rng.choice([1, 1, 1, 2, 3]))):
        with contextlib.suppress(Exception):
            content = ways[int(rng.integers(len(ways)))](content, rng)
    return content
