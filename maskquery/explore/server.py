"""The explorer's server: the page, and what it asks for, as JSON, pictures and arrays."""

import json
import secrets
from pathlib import Path
from typing import Annotated, Any, TypeVar

import numpy as np
import pydantic
import safetensors.numpy
from fastapi import Depends, FastAPI, Query, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.staticfiles import StaticFiles

from maskquery.core import params
from maskquery.core.errors import UserError
from maskquery.core.params import Section
from maskquery.explore import experiment, pictures, reasons, requests, scores
from maskquery.explore.requests import (
    CurvesRequest,
    ExperimentRequest,
    ImageQuery,
    MaskQuery,
    ScoresRequest,
    SearchRequest,
)
from maskquery.explore.settings import Params
from maskquery.explore.workspace import Workspace
from maskquery.masks.packed import mask_boxes

STATIC = Path(__file__).parent / "static"
MAX_BODY = 1_000_000  # bytes
_VERSION = secrets.token_hex(8)
"""A part of the addresses of pictures, which browsers keep: another server's may be other ones."""

_STALE = "the pipeline's files or params.yaml have changed: start the explorer anew"
_NOTE = (
    "selection.exclusive: pixels is not followed here, so figures differ from the pipeline's: a "
    "pixel may be of several classes"
)
_NO_MASKS = "there is no mask in any image: look at `sam` and `images` in params.yaml"
B = TypeVar("B", bound=Section)


def application(workspace: Workspace) -> FastAPI:
    """The application that answers for a workspace. Everything but pictures and arrays is JSON."""
    app = FastAPI(
        openapi_url=None,
        max_body_size=MAX_BODY,
        exception_handlers={
            UserError: _refuse,
            RequestValidationError: _refuse,
            HTTPException: _explain_status,
            Exception: _confess,
        },
    )

    @app.get("/")
    def page() -> FileResponse:
        return FileResponse(STATIC / "index.html")

    @app.get("/api/workspace")
    def start() -> Response:
        return JSONResponse(overview(workspace))

    @app.get("/api/image")
    def image(query: Annotated[ImageQuery, Query()]) -> Response:
        return Response(image_file(workspace, query.image), media_type="application/octet-stream")

    @app.get("/api/picture")
    def picture(query: Annotated[ImageQuery, Query()]) -> Response:
        return _jpeg(pictures.jpeg(workspace.pixels(query.image), 92))

    @app.get("/api/thumbnail")
    def thumbnail(query: Annotated[ImageQuery, Query()]) -> Response:
        return _jpeg(pictures.thumbnail(workspace.pixels(query.image)))

    @app.get("/api/crop")
    def crop(query: Annotated[MaskQuery, Query()]) -> Response:
        return _jpeg(workspace.crop(query.image, int(query.mask)))

    @app.post("/api/scores")
    def scores(body: Annotated[ScoresRequest, _json(ScoresRequest)]) -> Response:
        return JSONResponse(score_image(workspace, body))

    @app.post("/api/curves")
    def curves(body: Annotated[CurvesRequest, _json(CurvesRequest)]) -> Response:
        return JSONResponse(curves_of(workspace, body))

    @app.post("/api/search")
    def search(body: Annotated[SearchRequest, _json(SearchRequest)]) -> Response:
        return JSONResponse(search_masks(workspace, body))

    @app.post("/api/experiment")
    def line(body: Annotated[ExperimentRequest, _json(ExperimentRequest)]) -> Response:
        now = params.load(Params)  # params.yaml may have been edited since
        text = experiment.line(now.classes, now.scores, body.settings, body.threshold)
        return JSONResponse({"line": text})

    app.mount("/static", StaticFiles(directory=STATIC))
    return app


def _json(kind: type[B]) -> Any:
    """The request's body. Only JSON is taken, so that no other site's form can send it.

    Pydantic parses it, which bounds depth and digits, and takes a list for a tuple.
    """

    async def read(request: Request) -> B:
        if request.headers.get("content-type", "").partition(";")[0].strip() != "application/json":
            raise HTTPException(415, "JSON is expected")
        try:
            return kind.model_validate_json(await request.body())
        except pydantic.ValidationError as error:
            raise RequestValidationError(error.errors(include_url=False)) from None

    return Depends(read)


def overview(workspace: Workspace) -> dict[str, Any]:
    """What the page has to know at its start."""
    settings, test = workspace.settings, workspace.test_split()
    notes = [_STALE] if workspace.stale() else []
    notes += [_NOTE] if settings.selection.exclusive == "pixels" else []
    notes += [_NO_MASKS] if not len(workspace.vectors.ids) else []
    return {
        "version": _VERSION,
        "images": [{"id": image, "test": image in test} for image in workspace.images],
        "measured": workspace.measured,
        "masks": len(workspace.vectors.ids),
        "thresholds": workspace.thresholds,
        "text_threshold": workspace.text_threshold,
        "rule": settings.threshold.rule if isinstance(settings.threshold.rule, str) else None,
        "reasons": reasons.words(settings.selection),
        "settings": workspace.start.model_dump(mode="json"),
        "scorings": scores.SCORINGS,
        "note": "; ".join(notes) or None,
    }


def image_file(workspace: Workspace, image: str) -> bytes:
    """An image's regions as a safetensors file; its metadata says the rest of its masks, in JSON.

    Raises:
        UserError: there is no such image.
    """
    workspace.path(image)
    group, masks = workspace.masks(image)
    rows = zip(
        map(str, group.ids.tolist()),
        mask_boxes(masks, group.width).tolist(),  # of the masks as they are drawn
        group.areas.tolist(),
        group.predicted_iou.tolist(),
        group.stability_score.tolist(),
        strict=True,
    )
    names = ("id", "box", "area", "predicted_iou", "stability_score")
    about = {
        "height": group.height,
        "width": group.width,
        "masks": [dict(zip(names, row, strict=True)) for row in rows],
        "truth": workspace.measured,
    }
    regions = vars(workspace.regions(image)).items()
    arrays = {name: np.ascontiguousarray(array) for name, array in regions}
    return safetensors.numpy.save(arrays, {"about": json.dumps(about)})


def score_image(workspace: Workspace, asked: ScoresRequest) -> dict[str, Any]:
    """Scores, left-out masks, similarities to prompts, and what a threshold may be."""
    workspace.path(asked.image)
    scored = workspace.score(asked.image, asked.settings)
    adaptive = workspace.adaptive(scored)
    return {
        "scores": scored.score.tolist(),
        "left_out": scored.left_out.tolist(),
        "prompts": asked.settings.prompts,
        "cosines": scored.cosines.tolist(),
        "spread": workspace.spread(asked.settings),
        "adaptive": None if adaptive is None else adaptive.tolist(),
    }


def curves_of(workspace: Workspace, asked: CurvesRequest) -> list[dict[str, Any]]:
    """What every threshold would give, image by image."""
    answer = []
    for image in asked.images:
        workspace.path(image)
        curve = workspace.curve(image, asked.column, asked.settings)
        answer.append(
            {
                "image": image,
                "scores": curve.scores.tolist(),
                "tp": curve.tp.tolist(),
                "predicted": curve.predicted.tolist(),
                "true": curve.true,
            }
        )
    return answer


def search_masks(workspace: Workspace, asked: SearchRequest) -> list[dict[str, Any]]:
    """The most similar masks, the most similar first."""
    if asked.text is not None:
        hits = workspace.like_text(asked.text, asked.count)
    else:
        hits = workspace.like_mask(str(asked.image), int(asked.mask or 0), asked.count)
    return [{**vars(hit), "mask_id": str(hit.mask_id)} for hit in hits]


def _jpeg(data: bytes) -> Response:
    # Kept by the browser for a while: images do not change while one looks at them.
    return Response(
        data, media_type="image/jpeg", headers={"cache-control": "private, max-age=600"}
    )


async def _refuse(_: Request, error: Exception) -> Response:
    if isinstance(error, RequestValidationError):
        return JSONResponse({"error": requests.sentence(error.errors())}, 400)
    return JSONResponse({"error": " ".join(str(error).split())}, 400)


async def _explain_status(_: Request, error: Exception) -> Response:
    status = error.status_code if isinstance(error, HTTPException) else 500
    return JSONResponse({"error": str(getattr(error, "detail", ""))}, status)


async def _confess(_: Request, error: Exception) -> Response:
    return JSONResponse(
        {"error": f"the explorer failed ({type(error).__name__}): its terminal says where"}, 500
    )
