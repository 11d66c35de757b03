"""An embedding model's weights as an ONNX graph: BERT, mean of the tokens, length 1. Written once, beside the weights.

The graph is written out here, because the usual exporters need torch, which is 200 MB and no service's. The weights
stay what the file holds, in float32; `tests/engines/test_embeddings.py` compares the vectors with vLLM's and Ollama's.
"""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any

OPSET, IR = 20, 10
"""Operators and file format of ONNX 1.16, the first with `Gelu`; any onnxruntime since 1.18 reads them."""
WEIGHTS, CONFIG = "model.safetensors", "config.json"
MASKED = -1e9
"""Added to the score of a padding token: its share of attention becomes exactly 0 in float32."""


class NotBert(Exception):
    """The folder holds no model that this graph is for. The message says what differs."""


def write_graph(folder: Path, target: Path) -> None:
    """The model of `folder` as one file that onnxruntime loads. Raises `NotBert`, `OSError`."""
    import onnx

    config = json.loads((folder / CONFIG).read_text())
    pooling = json.loads((folder / "1_Pooling" / CONFIG).read_text())
    differs = {
        "model_type": config["model_type"] != "bert",
        "hidden_act": config["hidden_act"] != "gelu",
        "pooling": not pooling["pooling_mode_mean_tokens"],
    }
    if any(differs.values()):
        raise NotBert(f"{folder}: {', '.join(name for name, holds in differs.items() if holds)} is not what is written")
    onnx.save(_model(config, tensors(folder / WEIGHTS)), target)


def tensors(file: Path) -> Mapping[str, Any]:
    """The float32 tensors of a safetensors file by name: a length, a JSON of places, then the bytes."""
    import numpy as np

    data = memoryview(file.read_bytes())
    (length,) = struct.unpack_from("<Q", data)
    places = json.loads(bytes(data[8 : 8 + length]))
    places.pop("__metadata__", None)
    floats = {name: place for name, place in places.items() if place["dtype"] == "F32"}
    return {
        name: np.frombuffer(data[8 + length :][slice(*place["data_offsets"])], "<f4").reshape(place["shape"])
        for name, place in floats.items()
    }


def _model(config: Mapping[str, Any], weights: Mapping[str, Any]) -> Any:
    from onnx import TensorProto, helper

    graph = _Graph(config, weights)
    hidden = graph.embedded()
    for layer in range(config["num_hidden_layers"]):
        hidden = graph.layer(f"encoder.layer.{layer}", hidden)
    graph.pooled(hidden)
    shape = ["batch", "tokens"]
    inputs = [helper.make_tensor_value_info(name, TensorProto.INT64, shape) for name in ("input_ids", "attention_mask")]
    outputs = [helper.make_tensor_value_info("embedding", TensorProto.FLOAT, ["batch", config["hidden_size"]])]
    made = helper.make_graph(graph.nodes, "embedding", inputs, outputs, graph.constants)
    return helper.make_model(made, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR)


class _Graph:
    """Nodes and constants while they are put together; every method gives back the name of its result."""

    def __init__(self, config: Mapping[str, Any], weights: Mapping[str, Any]) -> None:
        self._config = config
        self._weights = weights
        self.nodes: list[Any] = []
        self.constants: list[Any] = []

    def embedded(self) -> str:
        """Word, place and segment of each token; there is one segment. Also makes the mask that every layer adds."""
        import numpy as np

        ids, place = "input_ids", "embeddings.position_embeddings.weight"
        words = self._node("Gather", self._weight("embeddings.word_embeddings.weight"), ids)
        size = self._node("Gather", self._node("Shape", ids), self._constant(np.array(1, "i8")))
        zero, one = self._constant(np.array(0, "i8")), self._constant(np.array(1, "i8"))
        places = self._node("Gather", self._weight(place), self._node("Range", zero, size, one))
        segment = self._constant(self._weights["embeddings.token_type_embeddings.weight"][0])
        total = self._node("Add", self._node("Add", words, places), segment)
        self.mask = self._node("Cast", "attention_mask", to=1)
        absent = self._node("Sub", self._constant(np.array(1, "f4")), self.mask)
        scaled = self._node("Mul", absent, self._constant(np.array(MASKED, "f4")))
        self._added = self._node("Unsqueeze", scaled, self._constant(np.array([1, 2], "i8")))
        return self._normal("embeddings.LayerNorm", total)

    def layer(self, name: str, hidden: str) -> str:
        """One encoder layer: attention over all tokens, then the two dense steps, each added to what went in."""
        import numpy as np

        heads = self._config["num_attention_heads"]
        size = self._config["hidden_size"] // heads
        split = self._constant(np.array([0, 0, heads, size], "i8"))
        q, k, v = (
            self._node("Reshape", self._dense(f"{name}.attention.self.{part}", hidden), split)
            for part in ("query", "key", "value")
        )
        q, v = (self._node("Transpose", part, perm=[0, 2, 1, 3]) for part in (q, v))
        scores = self._node("MatMul", q, self._node("Transpose", k, perm=[0, 2, 3, 1]))
        scores = self._node("Mul", scores, self._constant(np.array(1 / math.sqrt(size), "f4")))
        shares = self._node("Softmax", self._node("Add", scores, self._added), axis=-1)
        seen = self._node("Transpose", self._node("MatMul", shares, v), perm=[0, 2, 1, 3])
        seen = self._node("Reshape", seen, self._constant(np.array([0, 0, heads * size], "i8")))
        seen = self._node("Add", self._dense(f"{name}.attention.output.dense", seen), hidden)
        seen = self._normal(f"{name}.attention.output.LayerNorm", seen)
        wide = self._node("Gelu", self._dense(f"{name}.intermediate.dense", seen))
        out = self._node("Add", self._dense(f"{name}.output.dense", wide), seen)
        return self._normal(f"{name}.output.LayerNorm", out)

    def pooled(self, hidden: str) -> str:
        """The mean over the tokens that are no padding, brought to length 1."""
        import numpy as np

        each = self._node("Unsqueeze", self.mask, self._constant(np.array([2], "i8")))
        over = self._constant(np.array([1], "i8"))
        total = self._node("ReduceSum", self._node("Mul", hidden, each), over, keepdims=0)
        mean = self._node("Div", total, self._node("ReduceSum", each, over, keepdims=0))
        return self._node("LpNormalization", mean, axis=-1, p=2, name="embedding")

    def _dense(self, name: str, given: str) -> str:
        weight = self._constant(self._weights[f"{name}.weight"].T)
        return self._node("Add", self._node("MatMul", given, weight), self._weight(f"{name}.bias"))

    def _normal(self, name: str, given: str) -> str:
        weight, bias = self._weight(f"{name}.weight"), self._weight(f"{name}.bias")
        return self._node("LayerNormalization", given, weight, bias, axis=-1, epsilon=self._config["layer_norm_eps"])

    def _weight(self, name: str) -> str:
        return self._constant(self._weights[name])

    def _constant(self, value: Any) -> str:
        import numpy as np
        from onnx import numpy_helper

        name = f"c{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.ascontiguousarray(value).reshape(value.shape), name))
        return name

    def _node(self, kind: str, *given: str, name: str = "", **attributes: Any) -> str:
        from onnx import helper

        result = name or f"n{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, list(given), [result], **attributes))
        return result
