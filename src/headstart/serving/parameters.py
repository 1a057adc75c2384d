"""What is wrong with the parameters of a request, in words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from starlette.requests import Request

from headstart.serving.errors import RequestError
from headstart.system.text import one_line


def refuse_unknown_parameters(request: Request) -> None:
    """Refuse a request with a parameter that its route does not have, or that is given twice.

    Raises:
        RequestError: There is one.
    """
    known = [one.alias for one in request.scope["route"].dependant.query_params]
    for name in request.query_params:
        if name not in known:
            others = f"choose from {', '.join(known)}" if known else "this address takes none"
            raise RequestError(422, f"there is no parameter {_shown(name)}; {others}")
        if len(values := request.query_params.getlist(name)) > 1:
            given = f"is given {len(values)} times; give it once"
            raise RequestError(422, f"the parameter {_shown(name, quoted=False)} {given}")


def parameter_fault(error: Mapping[str, Any]) -> str:
    """Return a sentence about a parameter with a wrong value: the value, and what is allowed.

    Args:
        error: What pydantic says about it.
    """
    name, value = _shown(error["loc"][-1], quoted=False), _shown(error.get("input"))
    kind, context = str(error["type"]), error.get("ctx", {})
    if kind.startswith("int_"):
        allowed = "a whole number"
    elif kind == "greater_than_equal":
        allowed = f"at least {context['ge']:,}"
    elif kind == "less_than_equal":
        allowed = f"at most {context['le']:,}"
    elif kind == "enum":
        allowed = str(context["expected"]).replace("'", "")
    else:
        allowed = one_line(str(error["msg"]))[:200]
    return f"the parameter {name} is {value}; it must be {allowed}"


def _shown(value: object, *, quoted: bool = True) -> str:
    text = one_line(str(value)[:100])
    return repr(text) if quoted else text
