"""The "~" of arguments that the shell did not expand, as in --out=~/model."""

import re
from pathlib import Path
from typing import Final

_UNEXPANDED: Final = re.compile(r"((?:--)?[\w.-]+=)?(~[/\\].*|~)", re.DOTALL)


def with_home(argument: str) -> str:
    """Return an argument with the home folder for a "~" at its start or after its "=".

    Raises:
        UserError: There is no home folder.
    """
    found = _UNEXPANDED.fullmatch(argument)
    if not found:
        return argument
    from headstart.system.cache_folder import expand_home  # would delay the start of all commands

    return f"{found[1] or ''}{expand_home(Path(found[2]))}"
