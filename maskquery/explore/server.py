"""The explorer's server: the page, and what it asks for, as JSON, pictures and arrays."""

import json
import secrets
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, TypeVar

import numpy as np
import pydantic
import uvicorn
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from maskquery.core import console, params
from maskquery.core.errors import UsageError, UserError
from maskquery.core.params import Section
from maskquery.explore import experiment, pictures, scores
from maskquery.explore.headers import Headers
from maskquery.explore.scores import Line, Settings
from maskquery.explore.settings import Params
from maskquery.explore.workspace import Workspace
from maskquery.masks.packed import mask_boxes

LOOPBACK = "127.0.0.1"
STATIC = Path(__file__).parent / "static"
MOST = 200  # results of a search, images of one request for curves
MAX_BODY = 1_000_000  # bytes
_VERSION = secrets.token_hex(8)
"""A part of the addresses of pictures, which browsers keep: another server's may be other ones."""

_STALE = "the pipeline's files or params.yaml have changed: start the explorer anew"
_NOTE = (
    "selection.exclusive: pixels is not followed here, so figures differ from the pipeline's: a "
    "pixel may be of several classes"
)

Ids = Annotated[tuple[str, ...], pydantic.Field(max_length=MOST)]
Count = Annotated[int, pydantic.Field(ge=1, le=MOST)]
Column = Annotated[int, pydantic.Field(ge=0)]
B = TypeVar("B", bound=Section)


class ScoresAsked(Section):
    """The scores of an image's masks."""

    image: str
    settings: Settings


class CurvesAsked(Section):
    """One column's curves of some images."""

    images: Ids
    column: Column
    settings: Settings


class SearchAsked(Section):
    """By a text, or by a mask; its id as text, as JavaScript has no such numbers."""

    text: Line | None
    image: str | None
    mask: Annotated[str, pydantic.Field(pattern=r"^\d{1,20}$")] | None
    count: Count


class ExperimentAsked(Section):
    """The line for a shell."""

    settings: Settings
    threshold: Annotated[float, pydantic.Field(ge=-1, le=1)]


def application(workspace: Workspace, hosts: list[str]) -> Starlette:
    """The server's application.

    Args:
        workspace: what it shows.
        hosts: the names by which a browser may call it: another site's name that was pointed here
            is refused.
    """

    def get(path: str, answer: Callable[[Workspace, Request], Response]) -> Route:
        async def endpoint(request: Request) -> Response:
            return await run_in_threadpool(answer, workspace, request)

        return Route(path, endpoint)

    def post(path: str, kind: type[B], answer: Callable[[Workspace, B], Any]) -> Route:
        async def endpoint(request: Request) -> Response:
            asked = await _body(request, kind)
            return JSONResponse(await run_in_threadpool(answer, workspace, asked))

        return Route(path, endpoint, methods=["POST"])

    return Starlette(
        routes=[
            Route("/", lambda _: FileResponse(STATIC / "index.html")),
            get("/api/workspace", lambda found, _: JSONResponse(overview(found))),
            get("/api/image", _image),
            get("/api/picture", _picture),
            get("/api/thumbnail", _thumbnail),
            get("/api/crop", _crop),
            post("/api/scores", ScoresAsked, _scores),
            post("/api/curves", CurvesAsked, _curves),
            post("/api/search", SearchAsked, _search),
            post("/api/experiment", ExperimentAsked, _experiment),
            Mount("/static", StaticFiles(directory=STATIC)),
        ],
        middleware=[Middleware(TrustedHostMiddleware, allowed_hosts=hosts), Middleware(Headers)],
        exception_handlers={UserError: _refused, HTTPException: _not_served},
    )


def expect_reachable(host: str) -> None:
    """Refuse an address that no browser can call.

    Raises:
        UsageError: it stands for all addresses of the machine.
    """
    if host in ("0.0.0.0", "::"):  # noqa: S104
        raise UsageError(f"--host {host} names no machine", "give the address that browsers call")


def serve(workspace: Workspace, host: str, port: int) -> None:
    """Serve until interrupted.

    Raises:
        UserError: the address cannot be had.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((host, port))
            listener.listen()  # whoever reads the address may call at once
        except (OSError, OverflowError) as error:
            reason = getattr(error, "strerror", None) or error
            raise UserError(
                f"{host}:{port} cannot be listened on ({reason})", "give another --port"
            ) from None
        hosts = [host, "localhost", LOOPBACK, "[::1]"]
        config = uvicorn.Config(application(workspace, hosts), log_level="warning")
        shown = f"[{host}]" if ":" in host else host
        console.log(f"explore: http://{shown}:{listener.getsockname()[1]}/ (Ctrl+C ends it)")
        uvicorn.Server(config).run(sockets=[listener])


async def _body(request: Request, kind: type[B]) -> B:
    """The request's JSON; nothing else is taken, so that no other site's form can send it."""
    if request.headers.get("content-type", "").partition(";")[0].strip() != "application/json":
        raise HTTPException(415, "JSON is expected")
    data = b""
    async for part in request.stream():
        data += part
        if len(data) > MAX_BODY:
            raise HTTPException(413, "the request is too long")
    try:
        return kind.model_validate_json(data)
    except pydantic.ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(map(str, first["loc"]))
        message = first["msg"].removeprefix("Value error, ")
        raise UserError(f"{where}: {message}".removeprefix(": ")) from None


def overview(workspace: Workspace) -> dict[str, Any]:
    """What the page has to know at its start."""
    settings, test = workspace.settings, workspace.test_split()
    notes = [_STALE] if workspace.stale() else []
    notes += [_NOTE] if settings.selection.exclusive == "pixels" else []
    return {
        "version": _VERSION,
        "images": [{"id": image, "test": image in test} for image in workspace.images],
        "measured": workspace.measured,
        "masks": len(workspace.vectors.ids),
        "thresholds": workspace.thresholds,
        "rule": settings.threshold.rule if isinstance(settings.threshold.rule, str) else None,
        "settings": workspace.start.model_dump(mode="json"),
        "scorings": scores.SCORINGS,
        "note": "; ".join(notes) or None,
    }


def _image(workspace: Workspace, request: Request) -> Response:
    """A header's length (uint32, little-endian), the header in JSON, spaces up to a multiple of 4,
    and the arrays that the header lists, each filled up to a multiple of 4 bytes.
    """
    image = _known(workspace, request)
    group, masks = workspace.masks(image)
    regions = workspace.regions(image)
    rows = zip(
        group.ids.tolist(),
        mask_boxes(masks, group.width).tolist(),  # of the masks as they are drawn
        group.areas.tolist(),
        group.predicted_iou.tolist(),
        group.stability_score.tolist(),
        strict=True,
    )
    names = ("id", "box", "area", "predicted_iou", "stability_score")
    arrays = {name: np.ascontiguousarray(array) for name, array in vars(regions).items()}
    header = {
        "height": group.height,
        "width": group.width,
        "masks": [dict(zip(names, (str(row[0]), *row[1:]), strict=True)) for row in rows],
        "truth": workspace.measured,
        "arrays": {name: [array.nbytes, *array.shape] for name, array in arrays.items()},
    }
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 4)
    parts = [len(text).to_bytes(4, "little"), text]
    for array in arrays.values():
        parts.append(array.tobytes() + bytes(-array.nbytes % 4))
    return Response(b"".join(parts), media_type="application/octet-stream")


def _picture(workspace: Workspace, request: Request) -> Response:
    return _jpeg(pictures.jpeg(workspace.pixels(_known(workspace, request)), 92))


def _thumbnail(workspace: Workspace, request: Request) -> Response:
    return _jpeg(pictures.thumbnail(workspace.pixels(_known(workspace, request))))


def _crop(workspace: Workspace, request: Request) -> Response:
    mask = request.query_params.get("mask", "")
    if not mask.isascii() or not mask.isdigit() or int(mask) >= 2**64:
        raise UserError(f"{mask!r} is no mask id")
    return _jpeg(workspace.crop(_known(workspace, request), int(mask)))


def _jpeg(data: bytes) -> Response:
    # Kept by the browser for a while: images do not change while one looks at them.
    return Response(
        data, media_type="image/jpeg", headers={"cache-control": "private, max-age=600"}
    )


def _known(workspace: Workspace, request: Request) -> str:
    image = request.query_params.get("image", "")
    workspace.path(image)
    return image


def _scores(workspace: Workspace, asked: ScoresAsked) -> dict[str, Any]:
    workspace.path(asked.image)
    scored = workspace.scored(asked.image, asked.settings)
    adaptive = workspace.adaptive(scored)
    return {
        "scores": scored.score.tolist(),
        "eligible": scored.eligible.tolist(),
        "prompts": asked.settings.prompts,
        "cosines": scored.cosines.tolist(),
        "spread": workspace.spread(asked.settings),
        "adaptive": None if adaptive is None else adaptive.tolist(),
    }


def _curves(workspace: Workspace, asked: CurvesAsked) -> list[dict[str, Any]]:
    if asked.column >= len(asked.settings.columns):
        raise UserError(f"there is no column {asked.column}")
    found = []
    for image in asked.images:
        workspace.path(image)
        curve = workspace.curve(image, asked.column, asked.settings)
        found.append(
            {
                "image": image,
                "scores": curve.scores.tolist(),
                "tp": curve.tp.tolist(),
                "predicted": curve.predicted.tolist(),
                "true": curve.true,
            }
        )
    return found


def _search(workspace: Workspace, asked: SearchAsked) -> list[dict[str, Any]]:
    if asked.text is not None:
        hits = workspace.like_text(asked.text, asked.count)
    elif asked.image is not None and asked.mask is not None and int(asked.mask) < 2**64:
        hits = workspace.like_mask(asked.image, int(asked.mask), asked.count)
    else:
        raise UserError("search for a text or for a mask")
    return [{**vars(hit), "mask_id": str(hit.mask_id)} for hit in hits]


def _experiment(_: Workspace, asked: ExperimentAsked) -> dict[str, str]:
    now = params.load(Params)  # params.yaml may have been edited since
    return {"line": experiment.line(now.classes, now.scores, asked.settings, asked.threshold)}


async def _refused(_: Request, error: Exception) -> Response:
    return JSONResponse({"error": " ".join(str(error).split())}, 400)


async def _not_served(_: Request, error: Exception) -> Response:
    status = error.status_code if isinstance(error, HTTPException) else 500
    return JSONResponse({"error": getattr(error, "detail", "")}, status)
