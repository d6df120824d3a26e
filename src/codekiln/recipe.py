"""A run is one TOML recipe: each stage reads its own table; unknown keys are errors.

The settings of a table stand beside the code that uses them (`corpus/settings.py`, …) and are
found through the registry, so that reading a recipe imports neither torch nor the stages.
"""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePath
from typing import Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator
from pydantic_core import ErrorDetails

from codekiln import registry
from codekiln.errors import RecipeError
from codekiln.storage import fingerprint, write_text


class Settings(BaseModel):
    """Base of every table's settings: frozen, unknown keys refused, defaults checked."""

    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True)


class RunSettings(Settings):
    """`[run]`: what this run is and where it lives."""

    directory: Path = Field(
        Path("runs/default"), description="everything the run writes lies below this folder"
    )
    stage: Literal["pretrain", "continue", "extend", "instruct"] = Field(
        "pretrain",
        description="continue: from model.from_pretrained, as the other two; extend: to a longer "
        "context; instruct: on conversations too",
    )
    seed: int = Field(0, ge=0, lt=2**32, description="all randomness of the run follows from it")
    processes: int = Field(0, ge=0, description="worker processes; 0 means one a core")
    engine: Literal["processes", "ray"] = Field(
        "processes",
        description="where the corpus is built: in processes of this machine, or on the Ray "
        "cluster that RAY_ADDRESS names (extra `ray`)",
    )

    @field_validator("directory", mode="before")
    @classmethod
    def _named(cls, value: object) -> object:
        if value == "":  # Path("") would be the current folder
            raise ValueError("a folder; '.' is the current one")
        return value


AnySettings = TypeVar("AnySettings", bound=Settings)


class Recipe:
    """A validated recipe.

    Args:
        tables: table name -> settings; tables that the file leaves out have their defaults.
        path: the file it came from, for messages.
    """

    def __init__(self, tables: Mapping[str, Settings], path: Path | None = None) -> None:
        self._tables = dict(tables)
        self.path = path

    @classmethod
    def load(cls, path: Path, overrides: Sequence[str] = ()) -> Recipe:
        """Read a TOML file, apply `table.key=value` overrides, validate every table.

        Raises:
            RecipeError: missing file, bad TOML, unknown table or key, wrong type.
        """
        try:
            values = tomllib.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise RecipeError(path, got="no such file", wanted="a recipe (TOML)") from None
        except IsADirectoryError:
            raise RecipeError(path, got="a folder", wanted="a recipe (TOML)") from None
        except OSError as error:
            got = f"cannot be read ({error.strerror})"
            raise RecipeError(path, got=got, wanted="a recipe (TOML)") from error
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise RecipeError(path, got=f"not TOML: {error}", wanted="a recipe (TOML)") from error
        for override in overrides:
            _apply(values, override, path)
        return cls.from_values(values, path)

    @classmethod
    def from_values(cls, values: Mapping[str, Any], path: Path | None = None) -> Recipe:
        """Validate plain values, as `tomllib` gives them."""
        where = str(path) if path else "recipe"
        known = registry.names("tables")
        for name, content in values.items():
            if name not in known:
                raise RecipeError(
                    f"{where} [{name}]",
                    got="unknown table",
                    wanted="one of " + ", ".join(known),
                    remedy=registry.suggestion(name, known),
                )
            if not isinstance(content, Mapping):
                raise _no_table(where, name)
        tables = {name: validate(name, values.get(name, {}), where) for name in known}
        return cls(tables, path)

    def table(self, kind: type[AnySettings]) -> AnySettings:
        """The settings of the table that `kind` describes."""
        for settings in self._tables.values():
            if isinstance(settings, kind):
                return settings
        raise KeyError(kind.__name__)

    def fingerprint(self, *tables: str) -> str:
        """Fingerprint of the named tables' resolved settings (all tables without names)."""
        chosen = tables or tuple(self._tables)
        return fingerprint({n: self._tables[n].model_dump(mode="json") for n in chosen})

    def to_toml(self) -> str:
        """The resolved recipe, defaults included; reading it back gives an equal recipe."""
        return "\n".join(part for name, s in self._tables.items() for part in _tables(name, s))

    def save(self, path: Path) -> None:
        """Write the resolved recipe."""
        write_text(path, self.to_toml())


def validate(table: str, values: Mapping[str, Any], where: str) -> Settings:
    """Validate one table's values.

    Raises:
        RecipeError: naming the key, what stood there, what was wanted and the nearest key.
    """
    kind: type[Settings] = registry.load("tables", table)
    try:
        settings = kind(**values)
    except ValidationError as error:
        raise _recipe_error(where, table, kind, error.errors()[0]) from None
    if fault := _coerced(kind, values):
        raise _recipe_error(where, table, kind, fault)
    return settings


def _coerced(kind: type[Settings], values: Mapping[str, Any]) -> ErrorDetails | None:
    """The first value of another type than its field's, which pydantic would quietly convert.

    The strict rules for JSON are those wanted: a list may be a tuple, a string a path, a whole
    number a float; a boolean or a string is no number. A float without a fraction may be a whole
    number all the same: TOML writes 1e4 so.
    """

    def plain(value: object) -> object:
        return str(value) if isinstance(value, PurePath) else {"date": str(value)}

    try:
        kind.model_validate_json(json.dumps(dict(values), default=plain), strict=True)
    except ValidationError as error:
        given = (e for e in error.errors() if e["loc"] and e["loc"][0] in values)  # no defaults
        return next((e for e in given if not isinstance(e["input"], float)), None)
    return None


def _no_table(where: object, name: str) -> RecipeError:
    return RecipeError(f"{where} {name}", got="a value", wanted=f"a table [{name}]")


def _recipe_error(where: str, table: str, kind: type[Settings], first: ErrorDetails) -> RecipeError:
    key = ".".join(str(part) for part in first["loc"]) or "(table)"
    kind, name = _innermost(kind, first["loc"])
    place = f"{where} [{table}] {key}"
    if first["type"] == "extra_forbidden":
        return RecipeError(
            place,
            got="unknown key",
            wanted="one of " + ", ".join(kind.model_fields),
            remedy=registry.suggestion(str(first["loc"][-1]), kind.model_fields),
        )
    field = kind.model_fields.get(name)
    wanted = first["msg"].removeprefix("Value error, ")
    if field is not None and field.description:
        wanted += f" ({field.description})"
    return RecipeError(place, got=repr(first["input"]), wanted=wanted)


def _innermost(kind: type[Settings], location: Sequence[object]) -> tuple[type[Settings], str]:
    """The settings that a key belongs to, which may stand in a table within a table; its name."""
    name = ""
    for part in location:
        inner = kind.model_fields[name].annotation if name in kind.model_fields else None
        if isinstance(inner, type) and issubclass(inner, Settings):
            kind = inner
        elif name:
            break  # an item of a list, say
        name = str(part)
    return kind, name


def _apply(values: dict[str, Any], override: str, path: Path) -> None:
    target, separator, text = override.partition("=")
    table, dot, key = target.strip().partition(".")
    if not (separator and dot and key):
        raise RecipeError(
            f"--set {override}",
            got="not of the form",
            wanted="table.key=value",
            remedy="for example --set optimizer.learning_rate=3e-4",
        )
    try:
        value = tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        value = text  # a bare word stands for itself: --set tokens.fim_order=psm
    content = values
    *tables, key = [table, *key.split(".")]
    for depth, name in enumerate(tables):
        content = content.setdefault(name, {})
        if not isinstance(content, dict):
            raise _no_table(path, ".".join(tables[: depth + 1]))
    content[key] = value


def _tables(name: str, settings: Settings) -> list[str]:
    """The table of some settings, and those of the settings within them."""
    inner = {key: s for key in type(settings).model_fields
             if isinstance(s := getattr(settings, key), Settings)}  # fmt: skip
    rows = settings.model_dump(mode="json", exclude_none=True, exclude=set(inner))
    own = f"[{name}]\n" + "".join(f"{k} = {_toml(v)}\n" for k, v in rows.items())
    return [own, *(part for key, s in inner.items() for part in _tables(f"{name}.{key}", s))]


def _toml(value: object) -> str:
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{json.dumps(k)} = {_toml(v)}" for k, v in value.items()) + " }"
    if isinstance(value, list):
        return "[" + ", ".join(_toml(item) for item in value) + "]"
    return json.dumps(value, ensure_ascii=False)  # strings, numbers and booleans agree with TOML
