"""How much a model file computes, read from its operators' shapes. No TensorFlow."""

import math

from ai_edge_litert import schema_py_generated as schema

from stages.core.project.errors import ModelError

_NAMES = {code: name for name, code in vars(schema.BuiltinOperator).items() if isinstance(code, int)}


def flops(model: bytes) -> int:
    """Return the multiply-adds of one clip, each counted once, as the literature on small networks does.

    Counted are the operators that multiply matrices: convolutions, dense layers, LSTMs. What goes element by element -
    activations, pooling, a normalisation that is not folded - is not, and of sparse weights the zeros are.

    Parameters
    ----------
    model : bytes
        Content of a `.tflite` with a batch size of 1.

    Raises
    ------
    ModelError
        If it holds a loop, whose number of turns the file does not tell.
    """
    tree = schema.ModelT.InitFromPackedBuf(model, 0)
    codes = [_NAMES[max(code.builtinCode, code.deprecatedBuiltinCode)] for code in tree.operatorCodes]
    if "WHILE" in codes:
        raise ModelError("The operations of a model with a loop cannot be counted. Unroll its recurrent layers.")
    total = 0
    for graph in tree.subgraphs:
        for operator in graph.operators:
            reads = [[] if i < 0 else [int(n) for n in graph.tensors[i].shape] for i in operator.inputs]
            made = [int(n) for n in graph.tensors[operator.outputs[0]].shape]
            total += _multiply_adds(codes[operator.opcodeIndex], reads, made)
    return total


def _multiply_adds(name: str, reads: list[list[int]], made: list[int]) -> int:
    size = math.prod
    if name in ("CONV_2D", "FULLY_CONNECTED"):  # weights (filters, height, width, channels) or (units, inputs)
        return size(made) * size(reads[1][1:])
    if name == "DEPTHWISE_CONV_2D":  # (1, height, width, channels)
        return size(made) * size(reads[1][1:3])
    if name == "TRANSPOSE_CONV":  # output shape, weights (filters, height, width, channels), input
        return size(reads[2]) * size(reads[1][:3])
    if name == "BATCH_MATMUL":
        return size(reads[0]) * made[-1]
    if name == "UNIDIRECTIONAL_SEQUENCE_LSTM":
        n_steps = size(reads[0]) // reads[1][-1]
        return n_steps * sum(size(weights) for weights in reads[1:9] if weights)
    return 0
