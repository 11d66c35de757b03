"""A BERT of random weights in a folder as a package ships one, and the same model in plain numpy to compare with."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

import numpy as np
from scipy.special import erf
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "the", "fan", "ferry", "of", "rack", "##s", "b", "ro", "##ta", "##tion"]
HIDDEN, HEADS, LAYERS, WIDE = 8, 2, 2, 16


def folder(target: Path, *, seed: int = 1) -> Path:
    """Weights, configuration and tokenizer in `target`."""
    (target / "1_Pooling").mkdir(parents=True)
    config = {"model_type": "bert", "hidden_act": "gelu", "hidden_size": HIDDEN, "layer_norm_eps": 1e-12}
    config |= {"num_hidden_layers": LAYERS, "num_attention_heads": HEADS}
    (target / "config.json").write_text(json.dumps(config))
    (target / "1_Pooling" / "config.json").write_text(json.dumps({"pooling_mode_mean_tokens": True}))
    _write(target / "model.safetensors", weights(seed))
    tokenizer = Tokenizer(models.WordPiece({word: n for n, word in enumerate(WORDS)}, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    tokenizer.enable_truncation(4)  # as the real file does, to another length than the model card's
    tokenizer.enable_padding(length=6)
    tokenizer.save(str(target / "tokenizer.json"))
    return target


def weights(seed: int) -> dict[str, Any]:
    """By the names of BERT."""
    draw = np.random.default_rng(seed)
    shapes: dict[str, tuple[int, ...]] = {
        "embeddings.word_embeddings.weight": (len(WORDS), HIDDEN),
        "embeddings.position_embeddings.weight": (32, HIDDEN),
        "embeddings.token_type_embeddings.weight": (2, HIDDEN),
        "embeddings.LayerNorm.weight": (HIDDEN,),
        "embeddings.LayerNorm.bias": (HIDDEN,),
    }
    dense = {f"attention.self.{part}": (HIDDEN, HIDDEN) for part in ("query", "key", "value")}
    dense |= {"attention.output.dense": (HIDDEN, HIDDEN), "intermediate.dense": (WIDE, HIDDEN)}
    dense |= {"output.dense": (HIDDEN, WIDE)}
    for n in range(LAYERS):
        for name, shape in dense.items():
            shapes |= {f"encoder.layer.{n}.{name}.weight": shape, f"encoder.layer.{n}.{name}.bias": shape[:1]}
        for name in ("attention.output.LayerNorm", "output.LayerNorm"):
            shapes |= {f"encoder.layer.{n}.{name}.{kind}": (HIDDEN,) for kind in ("weight", "bias")}
    return {name: draw.normal(size=shape).astype("<f4") for name, shape in shapes.items()}


def vector(ids: list[int], *, seed: int = 1) -> Any:
    """What the model makes of one text, without padding: the definition, in float64."""
    w = {name: value.astype("f8") for name, value in weights(seed).items()}
    places, segment = w["embeddings.position_embeddings.weight"], w["embeddings.token_type_embeddings.weight"]
    x = w["embeddings.word_embeddings.weight"][ids] + places[: len(ids)] + segment[0]
    x = _normal(w, "embeddings.LayerNorm", x)
    for n in range(LAYERS):
        x = _layer(w, f"encoder.layer.{n}", x)
    mean = x.mean(axis=0)
    return mean / np.linalg.norm(mean)


def _layer(w: dict[str, Any], at: str, x: Any) -> Any:
    q, k, v = (_dense(w, f"{at}.attention.self.{part}", x) for part in ("query", "key", "value"))
    size, seen = HIDDEN // HEADS, []
    for head in range(HEADS):
        one = slice(head * size, (head + 1) * size)
        scores = np.exp(q[:, one] @ k[:, one].T / np.sqrt(size))
        seen.append(scores / scores.sum(axis=1, keepdims=True) @ v[:, one])
    x = _normal(w, f"{at}.attention.output.LayerNorm", x + _dense(w, f"{at}.attention.output.dense", np.hstack(seen)))
    wide = _dense(w, f"{at}.intermediate.dense", x)
    wide = wide * 0.5 * (1 + erf(wide / np.sqrt(2)))
    return _normal(w, f"{at}.output.LayerNorm", x + _dense(w, f"{at}.output.dense", wide))


def _dense(w: dict[str, Any], at: str, x: Any) -> Any:
    return x @ w[f"{at}.weight"].T + w[f"{at}.bias"]


def _normal(w: dict[str, Any], at: str, x: Any) -> Any:
    centred = x - x.mean(axis=1, keepdims=True)
    spread = np.sqrt((centred**2).mean(axis=1, keepdims=True) + 1e-12)
    return centred / spread * w[f"{at}.weight"] + w[f"{at}.bias"]


def _write(file: Path, named: dict[str, Any]) -> None:
    places, data = {}, b""
    for name, value in named.items():
        places[name] = {"dtype": "F32", "shape": value.shape, "data_offsets": [len(data), len(data) + value.nbytes]}
        data += value.tobytes()
    head = json.dumps({"__metadata__": {"format": "pt"}, **places}).encode()
    file.write_bytes(struct.pack("<Q", len(head)) + head + data)
