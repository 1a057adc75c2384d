"""Plurals, shortened lists of names, suggestions, and names that are safe to show."""

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from difflib import get_close_matches
from typing import Final

from headstart.types import Skipped

_INVISIBLE: Final = re.compile(
    r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]"
)
"""Characters that move a terminal's cursor, break a line or reorder text, but \\t and \\n."""
_LONGEST: Final = 10_000  # characters of a message, which may contain names of any length
_LONGEST_NAME: Final = 1000  # characters of a name among others
_MARKDOWN: Final = re.compile(r"[\\`*\[\]|]|<(?=[A-Za-z/!?])|&(?=#?\w+;)")


def visible(text: str) -> str:
    """Return text with escapes for control characters, other than tab and line feed."""
    return _INVISIBLE.sub(_escape, text)


def one_line(text: str) -> str:
    """Return text with escapes for characters that would break, rewrite or reorder its line."""
    return visible(text).replace("\t", "\\t").replace("\n", "\\n")


def shortened(text: str, most: int = _LONGEST) -> str:
    """Return text without its middle if it is longer than `most` characters, and say so."""
    if len(text) <= most:
        return text
    tail = most // 4
    return f"{text[: most - tail]} ... [{len(text) - most:,} characters] ... {text[-tail:]}"


def decoded(text: str) -> str:
    """Return text in which bytes of file names that a locale could not decode are UTF-8 if valid.

    In a C locale without UTF-8, Python keeps them as surrogates.
    """
    if text.isascii():
        return text
    try:
        return text.encode("utf-8", "surrogateescape").decode("utf-8", "surrogateescape")
    except UnicodeEncodeError:  # other surrogates
        return text


def _escape(match: re.Match[str]) -> str:
    code = ord(match[0])
    return f"\\x{code:02x}" if code < 32 else f"\\u{code:04x}"


def markdown(text: str) -> str:
    """Return text that Markdown shows as it is, in a paragraph or a table cell."""
    whole = " ".join(shortened(text, _LONGEST_NAME).split())
    return _MARKDOWN.sub(r"\\\g<0>", one_line(whole))


def pluralize(count: int, one: str, many: str = "") -> str:
    """Return a number with its noun: "1 image", "1,000 images"; `many` defaults to an added s."""
    return f"{count:,} {one if count == 1 else many or f'{one}s'}"


def join_names(names: Sequence[str], most: int = 10) -> str:
    """Return the first names separated by commas, and how many more there are."""
    more = f" and {len(names) - most:,} more" if len(names) > most else ""
    return ", ".join(shortened(name, _LONGEST_NAME) for name in names[:most]) + more


def did_you_mean(name: str, known: Iterable[str], *, otherwise: str = "", most: int = 3) -> str:
    """Suggest known names with a similar spelling, ignoring case; `otherwise` if there is none."""
    by_lower_case = {one.lower(): one for one in known}
    close = get_close_matches(name.lower(), by_lower_case, n=most)
    return f"did you mean {', '.join(by_lower_case[one] for one in close)}?" if close else otherwise


def duration(seconds: float) -> str:
    """Return a rounded duration: "40 s", "3 min" or "2.5 h"."""
    if seconds < 99.5:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 99.5 * 60 else f"{seconds / 3600:.1f} h"


def count_reasons(reasons: Iterable[str], most: int = 5) -> str:
    """Return how often each reason occurs, the most frequent first: "3 no label, 1 a folder"."""
    counts = Counter(reasons).most_common()
    return join_names([f"{count:,} {reason}" for reason, count in counts], most)


def unread_text(skipped: Sequence[Skipped]) -> str:
    """Return how many files could not be read, and why: "2 could not be read (2 truncated)"."""
    reasons = f" ({count_reasons(one.reason for one in skipped)})" if skipped else ""
    return f"{len(skipped):,} could not be read{reasons}"
