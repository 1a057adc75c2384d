"""Find the stages of a Keras network in its graph, without running it."""

import re
from collections import Counter
from collections.abc import Sequence
from itertools import accumulate
from typing import Any

from headstart.backbones.keras_backend import import_keras
from headstart.backbones.stage_discovery import Output, shrinking, width_of
from headstart.backbones.stages import Stage

# Operations that only rearrange values or prepare the image; no stage ends with one of them.
_PASSIVE = re.compile(
    r"Padding|Cropping|Pooling|Drop|Flatten|Reshape|Input|Rescaling|^Normalization"
)
_FEWEST = 3  # with fewer separating operations, the ends of cells are the stages


def find_stages(model: Any) -> tuple[tuple[Stage, ...], str]:
    """Return the stages of a whole functional `keras.Model`, and the name of its classifier.

    The rule is that of `stage_discovery`, with operations instead of blocks: a stage is the last
    one before the image shrinks. Only separating operations count, after which nothing else is
    needed, so that the network can be cut at every stage. A single first convolution is not a
    stage. NASNet has no separating operations, because each cell takes the outputs of the two
    before it; its stages are the ends of its cells, and it cannot be cut.
    """
    operations = model.operations
    head = max(index for index, operation in enumerate(operations) if _has_kernel(operation))
    depths = accumulate(_has_kernel(operation) for operation in operations[:head])
    blocks = [
        Output(operation.name, (1, *operation.output.shape[1:]))
        for operation, depth in zip(operations, depths, strict=False)
        if depth > 1 and not _is_half_a_block(operation) and not _PASSIVE.search(_kind(operation))
    ]
    separating = separating_operations(model)
    whole = [block for block in blocks if block.path in separating]
    if len(whole) < _FEWEST:
        joined = {operation.name for operation in operations if _kind(operation) == "Concatenate"}
        whole = [*_ends_of_cells([one for one in blocks if one.path in joined]), whole[-1]]
    maps = [block for block in whole if len(block.shape) == 4 and block.shape[1] > 1]
    chosen = {output.path for output in shrinking(maps, True)}
    chosen |= {block.path for block in whole if len(block.shape) == 2}  # hidden layers
    chosen.add(whole[-1].path)
    stages = [Stage(one.path, width_of(one.shape, True)) for one in whole if one.path in chosen]
    features = width_of(operations[head - 1].output.shape, True)
    return (*stages[:-1], Stage(stages[-1].name, features)), operations[head].name


def separating_operations(model: Any) -> set[str]:
    """Return the names of the operations whose result is the only one that later ones need."""
    flatten = import_keras("this network").tree.flatten
    uses = Counter(id(x) for operation in model.operations for x in flatten(operation.input))
    needed: set[int] = set()
    found = set()
    for operation in model.operations:
        for tensor in flatten(operation.input):
            uses[id(tensor)] -= 1
            if not uses[id(tensor)]:
                needed.discard(id(tensor))
        needed.add(id(operation.output))
        if len(needed) == 1:
            found.add(operation.name)
    return found


def _ends_of_cells(joined: Sequence[Output]) -> list[Output]:
    """Return concatenations at least as wide as all before; narrower ones only adapt older maps."""
    widths = [width_of(output.shape, True) for output in joined]
    widest = accumulate(widths, max)
    return [
        output for output, width, most in zip(joined, widths, widest, strict=True) if width >= most
    ]


def _kind(operation: Any) -> str:
    return type(operation).__name__


def _has_kernel(operation: Any) -> bool:
    return any(weight.name.endswith("kernel") for weight in getattr(operation, "weights", ()))


def _is_half_a_block(operation: Any) -> bool:
    """Whether an operation is a linear layer or a normalization, which the next one completes."""
    activation = getattr(getattr(operation, "activation", None), "__name__", "linear")
    linear = _has_kernel(operation) and activation == "linear"
    return linear or _kind(operation) == "LayerNormalization"
