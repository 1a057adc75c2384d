"""The application: routes, errors in words, and what guards them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.metadata import version

from fastapi import FastAPI, Security
from fastapi.exceptions import RequestValidationError
from fastapi.security import APIKeyHeader
from starlette.exceptions import HTTPException
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import JSONResponse

from headstart.serving import inference_routes, page_routes, predict_routes
from headstart.serving.errors import RequestError
from headstart.serving.guard import FailureAnswer, Guard, KeyCheck
from headstart.serving.parameters import parameter_fault
from headstart.serving.service import Service

_MISSING = "there is no such page; see /docs"


def build_app(service: Service) -> FastAPI:
    """Return the application that serves these models.

    Raises:
        UserError: The file with keys cannot be used.
    """

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        del app
        async with service.running():
            yield

    app = FastAPI(
        title="headstart",
        version=version("headstart"),
        description="Image classifiers, trained with headstart.",
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
        exception_handlers={
            RequestError: _request_error,
            RequestValidationError: _wrong_parameter,
            HTTPException: _http_error,
        },
    )
    app.state.service = service
    keys = service.settings.api_keys()
    # For the documentation alone: what refuses requests without a key is `KeyCheck`.
    key = [Security(APIKeyHeader(name="X-API-Key", auto_error=False))] if keys else []
    for module in (predict_routes, inference_routes):
        app.include_router(module.router, dependencies=key)
    app.include_router(page_routes.router)
    # The last one added is the first to see a request.
    if keys:
        app.add_middleware(KeyCheck, keys=keys)
    app.add_middleware(FailureAnswer)  # within CORS, so that pages of other origins may read it
    if service.settings.cors:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=service.settings.cors,
            allow_methods=["GET", "POST"],
            allow_headers=["Authorization", "Content-Type", "X-API-Key"],
        )
    app.add_middleware(Guard, metrics=service.metrics)
    return app


async def _request_error(request: Request, error: Exception) -> JSONResponse:
    del request
    assert isinstance(error, RequestError)
    return JSONResponse({"error": error.message}, error.status, headers=error.headers)


async def _wrong_parameter(request: Request, error: Exception) -> JSONResponse:
    del request
    assert isinstance(error, RequestValidationError)
    return JSONResponse({"error": parameter_fault(error.errors()[0])}, 422)


async def _http_error(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    allowed = (error.headers or {}).get("Allow", "other methods")
    other = f"this address takes {allowed}, not {request.method}; see /docs"
    sentences = {404: _MISSING, 405: other}
    message = sentences.get(error.status_code, str(error.detail))
    return JSONResponse({"error": message}, error.status_code, headers=error.headers)
