"""Values that a test needs to be there."""

from typing import TypeVar

Value = TypeVar("Value")


def require(value: Value | None) -> Value:
    assert value is not None
    return value
