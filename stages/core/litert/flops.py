"""The number of operations of a model file, read from its operators' shapes. No TensorFlow."""

from ai_edge_litert import schema_py_generated as schema

from stages.core.litert import operators
from stages.core.project.errors import ModelError


def flops(model: bytes) -> int:
    """Return the multiply-adds of one clip, each counted once, as the literature on small networks does.

    Only operators that multiply matrices count: convolutions, dense layers, LSTMs. Element-wise ones (activations,
    pooling, a normalisation that is not folded) do not; zeros of sparse weights do.

    Parameters
    ----------
    model : bytes
        Content of a `.tflite` with a batch size of 1.

    Raises
    ------
    ModelError
        If it holds a loop, whose number of iterations is not in the file.
    """
    tree = schema.ModelT.InitFromPackedBuf(model, 0)
    names = operators.names_of(tree.operatorCodes)
    if "WHILE" in names:
        raise ModelError("The operations of a model with a loop cannot be counted. Unroll its recurrent layers.")
    total = 0
    for graph in tree.subgraphs:
        for operator in graph.operators:
            inputs = [[] if i < 0 else [int(n) for n in graph.tensors[i].shape] for i in operator.inputs]
            output = [int(n) for n in graph.tensors[operator.outputs[0]].shape]
            total += operators.multiply_adds(names[operator.opcodeIndex], inputs, output)
    return total
