"""What the page asks of the server, as routes: nothing that tells what a picture is before it has been answered."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import datetime
from typing import Any

import anyio.to_thread
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response
from starlette.routing import Route

from zfcuda.live.app import page
from zfcuda.live.label.labelling import Labelling
from zfcuda.live.label.page import facts, results
from zfcuda.live.label.shown import File
from zfcuda.live.label.written import known, write
from zfcuda.report.pieces import text

_LARGEST = 4096  # bytes of a question
Answer = dict[str, Any]


def routes(labelling: Labelling, command: str = "") -> list[Route]:
    """The routes of a labelling, below /label/; behind the server's guard.

    Args:
        command: how it was started, for the page of the results.
    """

    def asked(name: str, work: Callable[[Answer], Answer]) -> Route:
        async def endpoint(request: Request) -> Response:
            return await _answered(request, work)

        return Route(f"/label/{name}", endpoint, methods=["POST"])

    def show(body: Answer) -> Answer:
        state = labelling.show(body.get("labeller"))
        found = labelling.comparison(state["labeller"])
        network = labelling.network
        if found is not None and (network is None or network.error or network.done >= len(labelling.task.pictures)):
            write(labelling, {state["labeller"]: found, **_others(labelling, state["labeller"])}, command)
        return {**state, "network": _progress(labelling)}

    async def home(request: Request) -> Response:
        return RedirectResponse("label/")

    async def task(request: Request) -> Response:
        return JSONResponse(described(labelling))

    async def picture(request: Request) -> Response:
        return await _file(lambda: labelling.picture(request.path_params["position"]))

    async def example(request: Request) -> Response:
        where = request.path_params
        if labelling.examples is None:
            return Response(status_code=404)
        examples = labelling.examples
        return await _file(lambda: examples.file(where["number"], where["which"]))

    async def result(request: Request) -> Response:
        return await anyio.to_thread.run_sync(_results, labelling, request.query_params.get("labeller"), command)

    return [
        Route("/", home),
        Route("/label/", page("zfcuda.live", "label.html")),
        Route("/label/task", task),
        Route("/label/pictures/{position:int}", picture),
        Route("/label/examples/{number:int}/{which:int}", example),
        Route("/label/results", result),
        asked("state", lambda body: labelling.state(body.get("labeller"))),
        asked(
            "answer", lambda b: labelling.answer(*(b.get(k) for k in ("labeller", "position", "answers", "seconds")))
        ),
        asked("undo", lambda body: labelling.undo(body.get("labeller"))),
        asked("show", show),
    ]


def described(labelling: Labelling) -> Answer:
    """What the page has to know before it begins."""
    task = labelling.task
    counts = labelling.examples.counts if labelling.examples is not None else [0] * len(task.classes)
    synonyms = task.classes.synonyms or ((),) * len(task.classes)
    return {
        "classes": [
            {"name": name, "synonyms": list(more), "examples": count}
            for name, more, count in zip(task.classes, synonyms, counts, strict=True)
        ],
        "count": len(task.pictures),
        "truth": task.truth is not None,
        "answers": task.answers,
        "view": task.view,
        "network": None if labelling.network is None else labelling.network.subject.title,
        "labeller": labelling.labeller,
        "labellers": labelling.known(),
    }


def _others(labelling: Labelling, but: str) -> dict[str, Any]:
    """The comparisons of all others who have seen theirs; whoever is labelling in another process is left out."""
    found = {}
    for name in labelling.known():
        if name != but:
            try:
                if labelling.answers(name).shown and (other := labelling.comparison(name)) is not None:
                    found[name] = other
            except (ValueError, OSError):
                continue
    return found


def _progress(labelling: Labelling) -> Answer | None:
    network = labelling.network
    if network is None:
        return None
    return {"done": network.done, "of": len(labelling.task.pictures), "error": network.error}


def _results(labelling: Labelling, labeller: str | None, command: str) -> Response:
    try:
        found = labelling.comparison(labeller)
        name = labelling.answers(labeller).labeller
    except (PermissionError, ValueError) as error:
        return Response(f"{error}\n", status_code=403, media_type="text/plain")
    if found is None:
        return HTMLResponse(_page("<p>The network has answered none of these pictures yet; load this page again.</p>"))
    body = results(
        name,
        found,
        address=lambda position: f"pictures/{position}",
        answers=labelling.task.answers,
        network=labelling.network is not None,
    )
    back = '<nav class="back"><a href="./">back to the pictures</a></nav>'
    return HTMLResponse(_page(f"{back}{body}{facts(known(labelling, command), datetime.now())}", name))


def _page(body: str, name: str = "") -> str:
    """The document around it: its style and its script are the server's, as the policy wants."""
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<link rel="icon" href="data:,">
<title>{text(name)}: labels</title>
<link rel="stylesheet" href="../web/theme.css"><link rel="stylesheet" href="../web/label-results.css">
<script src="../web/label-results.js" defer></script>
</head>
<body><main>{body}</main></body>
</html>
"""


async def _answered(request: Request, work: Callable[[Answer], Answer]) -> Response:
    """Does what a small JSON object asks, in another thread: the disk is waited for."""
    body = await _json(request)
    if body is None:
        return JSONResponse({"error": "expected a small JSON object"}, 400)
    try:
        return JSONResponse(await anyio.to_thread.run_sync(work, body))
    except (ValueError, TypeError, PermissionError) as error:
        return JSONResponse({"error": str(error)}, 400)
    except OSError as error:
        return JSONResponse({"error": f"not kept: {error.strerror or error}"}, 507)


async def _json(request: Request) -> Answer | None:
    read = b""
    async for part in request.stream():
        read += part
        if len(read) > _LARGEST:
            return None
    try:
        body = json.loads(read)
    except (ValueError, RecursionError):
        return None
    return body if isinstance(body, dict) else None


async def _file(make: Callable[[], File]) -> Response:
    try:
        data, kind = await anyio.to_thread.run_sync(make)
    except (IndexError, ValueError, TypeError):
        return Response(status_code=404)
    return Response(data, media_type=kind)
