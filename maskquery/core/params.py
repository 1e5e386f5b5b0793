"""Read one stage's part of params.yaml into a frozen object, and refuse what does not fit.

A stage declares its own `Section`, whose fields are the top-level keys it reads; nested sections
are fields too. There are no defaults: params.yaml is the only home of values. YAML lists arrive as
tuples, so sequences are annotated `tuple[...]`; folders are annotated `Folder`.
"""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, TypeVar, get_args

import pydantic

from maskquery.core import yaml_text
from maskquery.core.errors import UserError

PARAMS_FILE = Path("params.yaml")

S = TypeVar("S", bound="Section")


class Section(pydantic.BaseModel):
    """Base of every group of keys: frozen, no unknown keys, nothing converted ("3" is text)."""

    model_config = pydantic.ConfigDict(
        frozen=True, extra="forbid", strict=True, allow_inf_nan=False, protected_namespaces=()
    )


def _folder(value: object) -> Path:
    if not isinstance(value, str) or not value.strip():
        raise ValueError("must be the path of a folder")
    if "://" in value:
        raise ValueError(
            "must be a path: list the bucket, `maskquery list URL --out "
            "data/images.json`, and name the list here"
        )
    return Path(value)


Folder = Annotated[Path, pydantic.BeforeValidator(_folder)]
"""A path as params.yaml writes it, relative to the repository."""

Text = Annotated[str, pydantic.StringConstraints(pattern=r"\S")]
"""A string with something in it."""


def load(cls: type[S], path: Path = PARAMS_FILE) -> S:
    """The keys of `path` that `cls` declares, checked; other top-level keys belong to other stages.

    Raises:
        UserError: in one line, naming the dotted key, what was found and what is allowed.
    """
    try:
        return parse(cls, read(path))
    except ParamsError as error:
        raise UserError(f"{path}: {error}") from None


class ParamsError(ValueError):
    """A value that does not fit, or a key that there is not.

    Attributes:
        key: with dots between its parts, "sam.model".
    """

    def __init__(self, key: str, text: str) -> None:
        super().__init__(text)
        self.key = key


def parse(cls: type[S], document: Mapping[Any, Any]) -> S:
    """As `load`, of what stands in a params.yaml.

    Raises:
        ParamsError: as `load`, but for the file's name.
    """
    document = _tuples(dict(document))
    try:
        return cls.model_validate({key: document[key] for key in keys(cls) if key in document})
    except pydantic.ValidationError as error:
        errors = error.errors(include_url=False)
        more = f" (and {len(errors) - 1} more)" if len(errors) > 1 else ""
        # A misspelt key is reported twice, as missing and as unknown: the second says more.
        first = min(errors, key=lambda item: item["type"] != "extra_forbidden")
        location = tuple(part for part in first["loc"] if part != "[key]")
        raise ParamsError(_format_key(location), f"{_explain(first, cls)}{more}") from None


def keys(cls: type[Section]) -> tuple[str, ...]:
    """The keys of a section as params.yaml writes them."""
    return tuple(field.alias or name for name, field in cls.model_fields.items())


def read(path: Path = PARAMS_FILE) -> dict[Any, Any]:
    """All of a params.yaml, as it stands there.

    Raises:
        UserError: it is missing, cannot be read, or does not hold keys with values.
    """
    try:
        document = yaml_text.parse(path.read_text(encoding="utf-8"), str(path))
    except FileNotFoundError:
        raise UserError(f"{path} is missing", "run in the repository's root") from None
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path} cannot be read: {error}") from None
    if not isinstance(document, dict):
        raise UserError(f"{path} must hold keys with values, such as `threshold: 0.3`")
    return document


def _tuples(value: Any) -> Any:
    """Lists as tuples, all the way down: what a frozen object holds shall not change."""
    if isinstance(value, list):
        return tuple(_tuples(item) for item in value)
    if isinstance(value, dict):
        return {key: _tuples(item) for key, item in value.items()}
    return value


def _explain(error: Any, cls: type[Section]) -> str:
    """One of pydantic's errors as a sentence about a key of params.yaml."""
    kind, location, value = error["type"], error["loc"], error["input"]
    if kind == "extra_forbidden":
        section = _section(cls, location[:-1])
        allowed = f"; allowed are {', '.join(keys(section))}" if section else ""
        return f"{_format_key(location)} is not a known key{allowed}"
    if kind == "missing":
        return f"{_format_key(location)} is missing"
    if location and location[-1] == "[key]":
        hint = "" if isinstance(value, str) else f": put it in quotes, '{value}', if it is a name"
        mapping, key = _format_key(location[:-2]), _format_value(value)
        return f"{mapping} has the key {key}; it {_requirement(error)}{hint}"
    if kind == "value_error" and isinstance(value, dict):  # of a section as a whole
        return f"{_format_key(location)}: {_requirement(error)}".removeprefix(": ")
    hint = _number_hint(value, kind)
    return f"{_format_key(location)} is {_format_value(value)}; it {_requirement(error)}{hint}"


def _requirement(error: Any) -> str:
    if error["type"] in ("model_type", "dict_type", "mapping_type"):
        return "must be keys with values"
    if error["type"] == "tuple_type":
        return "must be a list"
    if error["type"] == "string_pattern_mismatch":
        return "must not be empty"
    message: str = error["msg"]
    message = message.removeprefix("Value error, ").replace("Input should", "must")
    return message.replace("valid integer", "whole number").replace("must be a valid", "must be a")


def _number_hint(value: object, kind: str) -> str:
    """Quoted numbers, and those like 1e-3 that YAML takes for text, are the usual slip."""
    if not isinstance(value, str) or kind not in ("float_type", "int_type"):
        return ""
    try:
        number = float(value)
    except ValueError:
        return ""
    if not math.isfinite(number):
        return ""
    whole = kind == "int_type" and number.is_integer()
    return f"; this is text, write {int(number) if whole else number!r} without quotes"


def _format_value(value: object) -> str:
    """As YAML writes it, for the most part, and not too long."""
    words = {None: "null", True: "true", False: "false"}
    if value is None or isinstance(value, bool):
        return words[value]
    text = repr(list(value)) if isinstance(value, tuple) else repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def _format_key(location: tuple[str | int, ...]) -> str:
    text = ""
    for part in location:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text


def _section(cls: type[Section], location: tuple[str | int, ...]) -> type[Section] | None:
    """The section at `location`, or None where it stands inside a mapping or a list."""
    for part in location:
        fields = {field.alias or name: field for name, field in cls.model_fields.items()}
        kind = fields[part].annotation if isinstance(part, str) and part in fields else None
        found = [
            k for k in (kind, *get_args(kind)) if isinstance(k, type) and issubclass(k, Section)
        ]
        if not found:
            return None
        cls = found[0]
    return cls
