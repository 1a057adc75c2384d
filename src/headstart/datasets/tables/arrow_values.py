"""Values of Arrow's arrays as Python's, also those that Python has no object for.

Text need not be UTF-8: it becomes what `os.fsdecode` makes of a file's name. A time that is out of
Python's range becomes its number.
"""

from typing import Any


def array_values(array: Any) -> list[Any]:
    """Return the N values of an array, those of a dictionary once each."""
    from pyarrow import compute, types

    if types.is_dictionary(array.type):
        used = compute.unique(array.indices.drop_null())
        found = dict(zip(used.to_pylist(), array_values(array.dictionary.take(used)), strict=True))
        return [found.get(index) for index in array.indices.to_pylist()]
    try:
        values: list[Any] = array.to_pylist()
    except (ValueError, OverflowError):
        values = [scalar_value(one) for one in array]
    return values


def scalar_value(scalar: Any) -> Any:
    """Return one value; None if there is none that Python can express."""
    import pyarrow

    try:
        return scalar.as_py()
    except (ValueError, OverflowError):
        pass
    if isinstance(scalar, pyarrow.DictionaryScalar):
        return scalar_value(scalar.value)
    if isinstance(scalar, pyarrow.StructScalar):
        return {name: scalar_value(scalar[name]) for name in scalar}
    if isinstance(scalar, pyarrow.ListScalar | pyarrow.LargeListScalar):
        return [scalar_value(one) for one in scalar.values]
    if (buffer := getattr(scalar, "as_buffer", None)) is not None:
        return buffer().to_pybytes().decode("utf-8", "surrogateescape")
    return getattr(scalar, "value", None)
