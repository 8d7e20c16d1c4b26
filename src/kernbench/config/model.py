"""How pydantic checks what a file says, asked for when a file is read and not before: to import it takes 0.1 s.

A spec is a plain class, and its types say by marks of this module what pydantic is to do. A run whose configuration was
kept from an earlier one (see :mod:`kernbench.config.kept`) does without.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, get_type_hints

if TYPE_CHECKING:
    from pydantic import BaseModel


class Parsed:
    """Mark of a type: ``parse`` makes the value of what the file has; ``check`` sees it afterwards.

    ``schema`` is the JSON Schema of what the file may have, or a function that gives it; None: that of the type.
    """

    def __init__(
        self,
        parse: Callable[[Any], Any],
        schema: Mapping[str, Any] | Callable[[], Mapping[str, Any]] | None = None,
        check: Callable[[Any], Any] | None = None,
    ) -> None:
        self.parse = parse
        self.schema = schema
        self.check = check

    def __get_pydantic_core_schema__(self, source: Any, handler: Any) -> Any:
        from pydantic_core import core_schema

        inner = handler(source)
        if self.check is not None:
            inner = core_schema.no_info_after_validator_function(self.check, inner)
        return core_schema.no_info_before_validator_function(self.parse, inner)

    def __get_pydantic_json_schema__(self, schema: Any, handler: Any) -> Any:
        if self.schema is None:
            return handler(schema)
        return dict(self.schema() if callable(self.schema) else self.schema)


class Exact:
    """Mark of a type: the file has a value of it, which nothing is converted to; an integer has ``least``, if any."""

    def __init__(self, least: int | None = None) -> None:
        self.bounds = {} if least is None else {"ge": least}

    def __get_pydantic_core_schema__(self, source: Any, handler: Any) -> Any:
        return {**handler(source), "strict": True, **self.bounds}


_MODELS: dict[type[Any], type[BaseModel]] = {}


def model_of(spec: type[Any]) -> type[BaseModel]:
    """The pydantic model that checks what a file says of ``spec``; unknown keys are errors."""
    if spec not in _MODELS:
        _MODELS[spec] = _model(spec)
    return _MODELS[spec]


def _model(spec: type[Any]) -> type[BaseModel]:
    from pydantic import BaseModel, ConfigDict, Field, create_model
    from pydantic.fields import FieldInfo

    class Model(BaseModel):
        model_config = ConfigDict(extra="forbid", arbitrary_types_allowed=True, hide_input_in_errors=True)

    types = get_type_hints(spec, include_extras=True)
    fields: dict[str, Any] = {
        name: (types[name], default if isinstance(default, FieldInfo) else Field(default, alias=key))
        for name, (key, default) in spec.fields().items()
    }
    validators = {  # of pydantic's, in a user's file
        name: thing
        for base in reversed(spec.__mro__)
        for name, thing in vars(base).items()
        if hasattr(thing, "decorator_info")
    }
    return create_model(
        spec.__name__,
        __base__=Model,
        __doc__=spec.__doc__,
        __module__=spec.__module__,
        __validators__=validators,
        **fields,
    )
