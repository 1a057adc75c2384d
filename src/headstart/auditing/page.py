"""The page of an audit: all findings with their images, in one file that works offline."""

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

from jinja2 import Environment, StrictUndefined
from PIL import Image

from headstart.auditing.audit import Audit
from headstart.auditing.issue import Issue, IssueKind
from headstart.datasets.review import escaped
from headstart.errors import UnreadableImageError
from headstart.images.decode import decode
from headstart.system.files import atomic_write
from headstart.system.prefetch import prefetch
from headstart.system.text import pluralize

_SIDE: Final = 160
_QUALITY: Final = 80
_SHOWN: Final = 100
"""Issues of each kind on the page, which has about 6 KB per image; audit.csv has all of them."""
_TITLES: Final = {
    IssueKind.WRONG_LABEL: "Labels that are probably wrong",
    IssueKind.COPY: "Copies of other images",
    IssueKind.OUTLIER: "Images unlike all others of their class",
    IssueKind.UNREADABLE: "Files that cannot be read",
    IssueKind.BLANK: "Blank images",
    IssueKind.DARK: "Dark images",
    IssueKind.BRIGHT: "Overexposed images",
    IssueKind.BLURRED: "Blurred images",
    IssueKind.TINY: "Tiny images",
    IssueKind.SERIES: "Series: several photos of one scene",
    IssueKind.CONFUSED_CLASSES: "Classes that cannot be told apart",
    IssueKind.BACKGROUND: "Classes that the background or the camera gives away",
}
_TEMPLATE: Final = """\
<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>Audit of {{ audit.data | escaped }}</title>
<style>
body { font: 15px/1.4 system-ui, sans-serif; margin: 2rem auto; max-width: 75rem; padding: 0 1rem }
section { margin-top: 2.5rem }
ol { display: grid; gap: 1rem; grid-template-columns: repeat(auto-fill, minmax(17rem, 1fr));
     list-style: none; padding: 0 }
li { border: 1px solid #ccc; border-radius: 6px; padding: .6rem; overflow-wrap: anywhere }
img { height: {{ side }}px; max-width: 100%; object-fit: contain }
p { margin: .2rem 0 }
.path, .evidence { color: #555; font-size: 12px }
</style>
<h1>Audit of {{ audit.data | escaped }}</h1>
<p>{{ audit.images | pluralize("image") }} of {{ audit.classes | pluralize("class", "classes") }}; \
{{ audit.issues | length | pluralize("possible problem") }}. Nothing was moved or deleted. To mend \
the data, write <code>drop</code> or <code>relabel</code> into the column <code>action</code> of \
audit.csv, and train with <code>headstart audit DATA --apply audit.csv --out MODEL</code>.</p>
<ul>
{%- for section in sections %}
<li style="display: inline; border: 0"><a href="#s{{ loop.index }}">{{ section.title }}</a> \
({{ "{:,}".format(section.count) }})</li>
{%- endfor %}
</ul>
{%- for section in sections %}
<section id="s{{ loop.index }}">
<h2>{{ section.title }}</h2>
{%- if section.count > section.issues | length %}
<p>The first {{ section.issues | length }} of {{ "{:,}".format(section.count) }}; audit.csv lists \
all.</p>
{%- endif %}
<ol>
{%- for issue, images in section.issues %}
<li>
{%- for image in images %}
<img src="data:image/jpeg;base64,{{ image }}" alt="">
{%- endfor %}
<p><strong>{{ issue.label | escaped }}</strong>\
{% if issue.suggested_label %} &rarr; <strong>{{ issue.suggested_label | escaped }}</strong>?\
{% endif %} <small>{{ "%.3f" | format(issue.score) }}</small></p>
<p class="evidence">{{ issue.evidence | escaped }}</p>
<p class="path">{{ issue.path | escaped }}</p>
</li>
{%- endfor %}
</ol>
</section>
{%- endfor %}
</html>
"""


@dataclass(frozen=True, slots=True)
class _Section:
    title: str
    count: int
    issues: list[tuple[Issue, list[str]]]  # with images as base64


def write_page(audit: Audit, path: Path) -> None:
    """Write the page of an audit.

    Raises:
        HeadstartError: The file cannot be written.
    """
    shown = {kind: audit.of_kind(kind)[:_SHOWN] for kind in IssueKind if audit.of_kind(kind)}
    files = sorted(
        {
            file
            for issues in shown.values()
            for one in issues
            if one.kind is not IssueKind.UNREADABLE
            for file in (one.path, one.other_path)
            if file
        }
    )
    images = dict(prefetch(_encoded, files))
    sections = [
        _Section(_TITLES[kind], len(audit.of_kind(kind)), _with_images(issues, images))
        for kind, issues in shown.items()
    ]
    environment = Environment(undefined=StrictUndefined, autoescape=True)
    environment.filters |= {"pluralize": pluralize, "escaped": escaped}
    page = environment.from_string(_TEMPLATE).render(audit=audit, sections=sections, side=_SIDE)
    atomic_write(path, page.encode())


def _with_images(
    issues: Sequence[Issue], images: dict[str, str | None]
) -> list[tuple[Issue, list[str]]]:
    return [
        (one, [found for file in (one.path, one.other_path) if (found := images.get(file))])
        for one in issues
    ]


def _encoded(file: str) -> str | None:
    """Return a thumbnail as the base64 text of a JPEG; None if the file cannot be read now."""
    try:
        image = decode(Path(file), min_size=partial(_fitting, factor=2))
    except UnreadableImageError:
        return None
    small = image.resize(_fitting(*image.size), Image.Resampling.BICUBIC)
    data = io.BytesIO()
    small.save(data, "JPEG", quality=_QUALITY)
    return base64.b64encode(data.getvalue()).decode()


def _fitting(width: int, height: int, factor: int = 1) -> tuple[int, int]:
    """Return the largest (width, height) that fits into a square, without enlarging."""
    scale = min(1.0, factor * _SIDE / max(width, height))
    return max(1, round(scale * width)), max(1, round(scale * height))
