"""headstart serve."""

from __future__ import annotations

from functools import partial
from importlib.util import find_spec
from typing import Annotated

from headstart.cli import options as shared
from headstart.cli.console import note, silence_libraries
from headstart.errors import MissingExtraError
from headstart.serving.settings import ServingSettings, model_sources
from headstart.system.option import Option
from headstart.system.text import pluralize

_LIBRARIES = (
    "fastapi",
    "fastapi_swagger",
    "httptools",
    "prometheus_client",
    "python_multipart",
    "uvicorn",
)


def serve(
    model: Annotated[
        list[str],
        Option(
            help="Model folders written by 'headstart fit', each under the name of its folder or, "
            "as NAME=FOLDER, under another.",
            metavar="MODEL...",
        ),
    ],
    *,
    unknown: shared.UnknownRate = shared.DEFAULT_UNKNOWN_RATE,
    allow_download: shared.AllowDownload = False,
    settings: ServingSettings,
    runtime: shared.RuntimeOptions,
    as_json: Annotated[bool, Option(flag="--json", help="Write the log as lines of JSON.")] = False,
) -> None:
    """Answer HTTP requests with trained models, until Ctrl-C or SIGTERM.

    A model is loaded again when its folder changes. There is a page for people at /, and the
    interface is described at /docs.
    """
    if missing := [name for name in _LIBRARIES if find_spec(name) is None]:
        raise MissingExtraError(f"serve ({', '.join(missing)})", extra="serve")
    from headstart.models.model_backbone import build_model_extractor
    from headstart.serving.server import Server

    settings.check()
    sources, rate = model_sources(model), shared.unknown_rate(unknown)
    silence_libraries()
    server = Server(
        sources=sources,
        settings=settings,
        open_extractor=partial(
            build_model_extractor, allow_download=allow_download, **vars(runtime)
        ),
        unknown=rate,
        json_log=as_json,
    )
    with server.listen() as listening:
        host, port = listening.getsockname()[:2]
        address = f"http://{f'[{host}]' if ':' in host else host}:{port}"
        if settings.workers == 1:
            app = server.app()
            note(f"{pluralize(len(sources), 'model')} on {address}; Ctrl-C ends it")
            server.run(listening, app)
        else:
            server.check()
            note(
                f"{pluralize(len(sources), 'model')} on {address}, in {settings.workers} "
                "processes; Ctrl-C ends it"
            )
            server.run_workers(listening)
