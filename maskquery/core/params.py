"""Read and validate the part of params.yaml that a stage declares.

A stage declares a `Section` whose fields are the top-level keys that it reads; nested sections are
fields, too. There are no defaults: all values are in params.yaml. YAML lists become tuples, so
sequences are annotated `tuple[...]`; folders are annotated `Folder`.
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
    """The base of every section: frozen, no unknown keys, no conversions ("3" is text)."""

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
"""A path in params.yaml, relative to the repository."""

Text = Annotated[str, pydantic.StringConstraints(pattern=r"\S")]
"""A string that is not blank."""


def load(cls: type[S], path: Path = PARAMS_FILE) -> S:
    """Read the top-level keys that `cls` declares; other keys belong to other stages.

    Raises:
        UserError: naming the dotted key, its value and what is allowed.
    """
    try:
        return parse(cls, read(path))
    except ParamsError as error:
        raise UserError(f"{path}: {error}") from None


class ParamsError(ValueError):
    """A wrong value, or an unknown or missing key.

    Attributes:
        key: with dots between its parts, such as "sam.model".
    """

    def __init__(self, key: str, text: str) -> None:
        super().__init__(text)
        self.key = key


def parse(cls: type[S], document: Mapping[Any, Any]) -> S:
    """As `load`, from the parsed content of a params.yaml.

    >>> class Params(Section):
    ...     threshold: float
    >>> parse(Params, {"threshold": 0.3, "another stage's": 1})
    Params(threshold=0.3)
    >>> parse(Params, {"threshold": "0.3"})
    Traceback (most recent call last):
    maskquery.core.params.ParamsError: threshold is '0.3'; it must be a number; this is text,
    write 0.3 without quotes

    Raises:
        ParamsError: naming the dotted key, its value and what is allowed.
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
    """The keys of a section, as they are in params.yaml."""
    return tuple(field.alias or name for name, field in cls.model_fields.items())


def read(path: Path = PARAMS_FILE) -> dict[Any, Any]:
    """Parse all of a params.yaml, without validation.

    Raises:
        UserError: it is missing, cannot be read, or is not a mapping.
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
    """Convert lists to tuples, recursively, as the content of a frozen object must not change."""
    if isinstance(value, list):
        return tuple(_tuples(item) for item in value)
    if isinstance(value, dict):
        return {key: _tuples(item) for key, item in value.items()}
    return value


def _explain(error: Any, cls: type[Section]) -> str:
    """Describe one of pydantic's errors as a sentence about a key of params.yaml."""
    kind, location, value = error["type"], error["loc"], error["input"]
    if kind == "extra_forbidden":
        section = _section(cls, location[:-1])
        known = f"; allowed are {', '.join(keys(section))}" if section else ""
        return f"{_format_key(location)} is not a known key{known}"
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
    """A hint for a number in quotes, which is the usual mistake."""
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
    """A value much as YAML writes it, shortened to 60 characters."""
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
    """The section at `location`, or None if it is inside a mapping or a list."""
    for part in location:
        fields = {field.alias or name: field for name, field in cls.model_fields.items()}
        kind = fields[part].annotation if isinstance(part, str) and part in fields else None
        sections = [
            k for k in (kind, *get_args(kind)) if isinstance(k, type) and issubclass(k, Section)
        ]
        if not sections:
            return None
        cls = sections[0]
    return cls
