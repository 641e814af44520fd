"""Constants of a `.tflite` inside its flatbuffer, where every runtime reads them.

ai-edge-quantizer writes buffers of 1 kB and more behind the flatbuffer and refers to them by `Buffer.offset` and
`Buffer.size`. TensorFlow Lite Micro, and TensorFlow Lite before LiteRT, do not read those: they take such weights for
empty and answer constants without an error (tflite-micro#3196).
"""

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema

from stages.core.project.errors import ModelError

ALIGNMENT = 16  # bytes; `force_align` of Buffer.data in the schema
_IDENTIFIER = b"TFL3"


def inside(model: bytes) -> bytes:
    """Return the model with every buffer inside the flatbuffer, aligned as the schema asks; otherwise the same.

    Parameters
    ----------
    model : bytes
        Content of a `.tflite`.

    Returns
    -------
    bytes
        The very same bytes if all buffers are inside already.

    Raises
    ------
    ModelError
        If it is not a LiteRT model, or a buffer lies beyond its end.
    """
    if not behind(model):
        return model
    tree = schema.ModelT.InitFromPackedBuf(model, 0)
    for buffer in tree.buffers:
        if buffer.offset > 1:  # 0 and 1 are no offsets: older writers leave either
            buffer.data = np.frombuffer(_piece(model, buffer.offset, buffer.size), np.uint8)
            buffer.offset = buffer.size = 0
    for graph in tree.subgraphs:
        for operator in graph.operators:
            if operator.largeCustomOptionsOffset > 1:
                options = _piece(model, operator.largeCustomOptionsOffset, operator.largeCustomOptionsSize)
                operator.customOptions = np.frombuffer(options, np.uint8)
                operator.largeCustomOptionsOffset = operator.largeCustomOptionsSize = 0
    return pack(tree)


def pack(tree: schema.ModelT) -> bytes:
    """Return the file of an unpacked model, aligned as the schema asks."""
    builder = AlignedBuilder(sum(0 if b.data is None else len(b.data) for b in tree.buffers) + 2**16)
    builder.Finish(tree.Pack(builder), file_identifier=_IDENTIFIER)
    return bytes(builder.Output())


def behind(model: bytes) -> list[int]:
    """Return the indices of the buffers that lie behind the flatbuffer; -1 stands for an operator's options.

    Raises
    ------
    ModelError
        If it is not a LiteRT model.
    """
    if len(model) < 8 or not schema.Model.ModelBufferHasIdentifier(model, 0):
        raise ModelError("The model must be a LiteRT flatbuffer (TFL3); it is not. Convert it again.")
    root = schema.Model.GetRootAs(model, 0)
    found = [i for i in range(root.BuffersLength()) if root.Buffers(i).Offset() > 1]
    for graph in (root.Subgraphs(i) for i in range(root.SubgraphsLength())):
        for operator in (graph.Operators(i) for i in range(graph.OperatorsLength())):
            if operator.LargeCustomOptionsOffset() > 1:
                found.append(-1)
    return found


class AlignedBuilder(flatbuffers.Builder):  # type: ignore[misc]
    """A flatbuffer builder that aligns vectors of bytes, which Python's generated code does not."""

    def StartVector(self, element_bytes: int, length: int, alignment: int) -> int:  # noqa: N802  a name of flatbuffers
        """Begin a vector."""
        start: int = super().StartVector(element_bytes, length, ALIGNMENT if element_bytes == 1 else alignment)
        return start


def _piece(model: bytes, offset: int, size: int) -> bytes:
    if offset + size > len(model):
        raise ModelError("The model's file ends before one of its buffers does. Convert it again.")
    return model[offset : offset + size]
