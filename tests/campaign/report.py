"""docs/reliability.md: what was tried, how often, and what failed."""

import platform
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from headstart import __version__
from tests.campaign.campaign import Tally

EXCEPTIONS: Final = """
Damage that leaves a valid file is not noticed, and does not count as a failure here: a flipped bit
or a lost sector within a JPEG, the last few blocks of a JPEG that was cut, zeros at the end of an
uncompressed TIFF or BMP, of a WebP or of an AVIF file.
"""
"""What is known to fail, with the reason; paragraphs of Markdown."""
_SHOWN: Final = 20
_LONGEST: Final = 400
_INTRODUCTION: Final = """# Reliability

headstart is tried against what can go wrong around it: processes that are killed, disks that fill
up, programs that write to the same place, files that are damaged or made to do harm. Each row of
the table is a campaign of many such tries. What is left to chance in a try follows from a seed, so
a campaign can be repeated.
"""
_FOOT: Final = """
## Run it again

```sh
make campaign
```

This takes about an hour on two cores and rewrites this page. Each campaign runs in a process of
its own, in a temporary folder that is deleted afterwards, with bounds on its time, memory and disk
space. `make test` runs a few tries of each. To run some campaigns, or fewer tries of each:

```sh
.venv/bin/python -m tests.campaign --only kill --share 0.1
```
"""


@dataclass(frozen=True, slots=True)
class Conditions:
    """How the campaigns were run.

    Attributes:
        seed: the seed of chance.
        share: the fraction of the full numbers of tries.
        offline: whether there was no network, so that none could be used unseen.
    """

    seed: int
    share: float
    offline: bool

    def __str__(self) -> str:
        """One sentence or two."""
        network = "without a network" if self.offline else "with the machine's network"
        part = "" if self.share == 1 else f" Only {self.share:.1%} of the tries were made."
        return (
            f"Measured with headstart {__version__}, seed {self.seed}, Python "
            f"{platform.python_version()}, {platform.system()} on {platform.machine()}, "
            f"{network}.{part}"
        )


def report(tallies: Sequence[Tally], conditions: Conditions) -> str:
    """Return the page."""
    tries = sum(tally.tries for tally in tallies)
    failed = sum(len(tally.failures) for tally in tallies)
    rows = [
        f"| {tally.kind} | {tally.failure} | {tally.tries:,} | {len(tally.failures):,} |"
        for tally in tallies
    ]
    parts = [
        _INTRODUCTION,
        f"{conditions}\n",
        f"**{tries:,} tries, {failed:,} {'failure' if failed == 1 else 'failures'}.**\n",
        "| what was tried | what counts as a failure | tries | failures |\n|---|---|---:|---:|",
        "\n".join(rows),
        *_missing(tallies),
        "\n## Failures\n",
        "\n\n".join(_failures(tally) for tally in tallies if tally.failures) or "None.",
        *([f"\n## Known exceptions\n\n{EXCEPTIONS.strip()}"] if EXCEPTIONS else []),
        _FOOT,
    ]
    return "\n".join(parts)


def _missing(tallies: Sequence[Tally]) -> list[str]:
    """Return the campaigns that made no tries or fewer tries, and why."""
    lines = [f"- {tally.kind}: {tally.missing}" for tally in tallies if tally.missing]
    return ["\nNot tried, or not as often as planned:\n", *lines] if lines else []


def _failures(tally: Tally) -> str:
    """Return the failures of a campaign: its first ones, and how many more there are."""
    lines = [f"{tally.kind}:\n", *map(_item, tally.failures[:_SHOWN])]
    if more := len(tally.failures) - _SHOWN:
        lines += [f"- and {more:,} more"] if more > 0 else []
    return "\n".join(lines)


def _item(failure: str) -> str:
    """Return a line that nothing in a failure's text can turn into markup."""
    text = " ".join(failure.split()).replace("`", "'")
    text = "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)
    return f"- `{text[:_LONGEST]}{'…' if len(text) > _LONGEST else ''}`"
