"""What can be wrong with one value of a line that can be read, in words."""

import pyarrow as pa

NESTED = "nested value"  # an array or an object
SURROGATE = "lone surrogate"  # half a letter of UTF-16, as an escape of JSON
NOT_UTF8 = "text that is not UTF-8"
INEXACT = "inexact number"  # so large that a floating-point column may have rounded it
FLAWS = pa.map_(pa.string(), pa.string())  # by the name of the value's column


def as_array(flaws: dict[int, dict[str, str]], count: int) -> pa.MapArray:
    """The flaws of the rows of a batch, by their numbers; null for the others."""
    return pa.array([[*flaws[n].items()] if n in flaws else None for n in range(count)], FLAWS)
