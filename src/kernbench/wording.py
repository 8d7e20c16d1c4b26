"""What a user gave, as an error shows it: short, safe, and in the number and with the article that English wants."""

from __future__ import annotations

import re
import reprlib
from pathlib import Path

MOST_SHOWN = 60  # characters of one thing
MOST_WORD = 300  # characters of a word of a message, as of a path; no terminal line is served by more


def shortened(text: str, most: int = MOST_SHOWN) -> str:
    """``text``, or its beginning if it is long.

    >>> shortened("a long one", 4), shortened("four", 4)
    ('a lo...', 'four')
    """
    return text if len(text) <= most else f"{text[:most]}..."


def quoted(value: object) -> str:
    """What ``value`` is, in a few words of Python: cut where it is long, and also where its own ``repr`` fails.

    >>> quoted("n"), quoted([5] * 1000), quoted(10**5000)
    ("'n'", '[5, 5, 5, 5, 5, 5, ...]', 'an integer of more than 4000 digits')
    """
    return _QUOTE.repr(value)


def with_words_cut(text: str) -> str:
    """A message without what nobody reads: words as long as a page.

    >>> with_words_cut("unknown bench " + 1000 * "x") == "unknown bench " + 60 * "x" + "..."
    True
    """
    return re.sub(rf"(\S{{{MOST_WORD},}}?)([:;,]?)(?!\S)", lambda found: shortened(found[1]) + found[2], text)


def is_name(name: object) -> bool:
    """Whether ``name`` can stand in a line: a text that is not empty and has no line breaks or control characters."""
    return isinstance(name, str) and name.isprintable() and name != ""


def plural(count: int, noun: str) -> str:
    """A count with its noun.

    >>> plural(1, "cube"), plural(8192, "PE")
    ('1 cube', '8192 PEs')
    """
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def with_article(noun: str) -> str:
    """A noun with the article that it is spoken with.

    >>> with_article("algorithm"), with_article("bench"), with_article("hbm.model")
    ('an algorithm', 'a bench', 'an hbm.model')
    """
    return f"{'an' if noun[0] in 'aeiou' or noun.startswith('hbm') else 'a'} {noun}"


def shown_path(path: str | Path) -> str:
    """A file as messages name it: from the current folder on if it is below, else as it is.

    >>> shown_path(Path.cwd() / "my" / "bench.py"), shown_path("/nowhere/bench.py")
    ('my/bench.py', '/nowhere/bench.py')
    """
    try:
        return str(Path(path).relative_to(Path.cwd()))
    except (OSError, ValueError):  # another folder, or the current one is gone
        return str(path)


class _Quote(reprlib.Repr):
    """``repr`` with limits."""

    def repr1(self, x: object, level: int) -> str:
        try:
            return super().repr1(x, level)
        except Exception as error:
            return f"<{type(x).__name__} whose repr() raises {type(error).__name__}>"

    def repr_str(self, x: str, level: int) -> str:
        return repr(shortened(x))

    def repr_int(self, x: int, level: int) -> str:
        try:
            return shortened(repr(x))
        except ValueError:  # Python prints none of more than 4300 digits
            return "an integer of more than 4000 digits"

    def repr_instance(self, x: object, level: int) -> str:
        return shortened(" ".join(repr(x).split()))


_QUOTE = _Quote()
