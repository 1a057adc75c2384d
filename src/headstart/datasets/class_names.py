"""Names of classes: one spelling for each, and names that are easily confused."""

import contextlib
import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Sequence

from headstart.system.text import join_names, pluralize


def class_name(name: str) -> str:
    r"""Return the spelling of a class's name that can be printed, saved and compared.

    Names of files are UTF-8 in any locale: in that of LC_ALL=C, Python reads them as other text.
    Accents are composed: macOS writes "é" as two characters, Linux as one. Bytes that are not text
    become an escape such as \udcff, as in tables of results; the backslashes of such a name, or of
    one that looks like it, are doubled, so that different names stay different.
    """
    with contextlib.suppress(UnicodeError):  # bytes that are not UTF-8
        name = name.encode("utf-8", "surrogateescape").decode("utf-8")
    composed = unicodedata.normalize("NFC", name)
    escaped = composed.replace("\\", "\\\\").encode("utf-8", "backslashreplace").decode()
    return escaped if re.search(r"\\ud[89a-f]", escaped) else composed


def spelled_as(names: Iterable[str], known: Sequence[str]) -> dict[str, str]:
    """Return for each name the known one that is spelled with other accents, else itself."""
    spelling = {class_name(one): one for one in known} | {one: one for one in known}
    return {name: spelling.get(name, spelling.get(class_name(name), name)) for name in names}


def similar_names_text(classes: Iterable[str]) -> str | None:
    """Return a warning that names the classes that look alike; None if there are none."""
    alike: dict[str, list[str]] = defaultdict(list)
    for name in classes:
        folded = unicodedata.normalize("NFKC", name).casefold()
        alike[" ".join(folded.split())].append(name)
    pairs = [" and ".join(map(repr, names)) for names in alike.values() if len(names) > 1]
    if not pairs:
        return None
    count = sum(len(names) for names in alike.values() if len(names) > 1)
    return (
        f"{pluralize(count, 'class', 'classes')} differ only in upper and lower case or blanks: "
        f"{join_names(pairs)}; if they are the same, give them one name"
    )
