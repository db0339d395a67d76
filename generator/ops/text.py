"""TfIdfVectorizer, of tokens that are numbers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from edgewright.errors import ShapeError
from edgewright.ir import Array, DType, Graph, Node, Tensor, TensorType
from edgewright.ops.core import Case, Fixed, KernelCall, Operator, cases, describe, from_onnx, ints, required
from edgewright.ops.elements import C_ELEMENTS, INDICES

Gram = tuple[tuple[int, ...], int]  # tokens, and the column that counts them


def _grams(attrs: Any) -> list[Gram]:
    """All n-grams of the pool. Raises: ShapeError where the attributes do not fit each other."""
    pool, counts, columns = attrs["pool_int64s"], attrs["ngram_counts"], attrs["ngram_indexes"]
    found: list[tuple[int, ...]] = []
    for length, (start, stop) in enumerate(zip(counts, (*counts[1:], len(pool)), strict=True), start=1):
        if not 0 <= start <= stop <= len(pool) or (stop - start) % length:
            raise ShapeError(f"ngram_counts {list(counts)} of a pool of {len(pool)} numbers")
        found += [tuple(pool[at : at + length]) for at in range(start, stop, length)]
    if len(found) != len(columns) or not columns or min(columns) < 0:
        raise ShapeError(f"{len(columns)} ngram_indexes for {len(found)} n-grams")
    return list(zip(found, columns, strict=True))


class TfIdfVectorizer(Operator):
    """Counts of n-grams, which may have up to max_skip_count tokens between two of theirs, at equal distances.

    mode TF: the counts; IDF: the weight of what occurs; TFIDF: counts times weights. Source: ONNX TfIdfVectorizer-9.
    """

    name = "TfIdfVectorizer"
    arity = (1, 1)
    attributes = {
        "mode": ..., "min_gram_length": ..., "max_gram_length": ..., "max_skip_count": ..., "ngram_counts": ...,
        "ngram_indexes": ..., "pool_int64s": ..., "weights": (),
    }  # fmt: skip
    dtypes = INDICES
    rounds_once = True
    same_in_onnx = True

    def grams(self, node: Node) -> list[Gram]:
        """The n-grams that are counted, by their lengths."""
        shortest, longest = node.attrs["min_gram_length"], node.attrs["max_gram_length"]
        return [gram for gram in _grams(node.attrs) if shortest <= len(gram[0]) <= longest]

    def columns(self, node: Node) -> int:
        """Of the result."""
        return int(max(node.attrs["ngram_indexes"])) + 1

    def weights(self, node: Node) -> Array | None:
        """One a column; None for 1. Shapes: [columns]."""
        if node.attrs["mode"] == "TF" or not self.attr(node, "weights"):
            return None
        result = np.zeros(self.columns(node), np.float32)
        result[list(node.attrs["ngram_indexes"])] = np.asarray(node.attrs["weights"], np.float32)
        return result

    def infer(self, node: Node, inputs: Sequence[Tensor | None]) -> list[TensorType]:
        """Shapes: [tokens] to [columns], [rows, tokens] to [rows, columns]."""
        x = required(inputs[0], node, "X")
        if len(x.shape) not in (1, 2) or not x.elements:
            raise ShapeError(f"{describe(node)}: {list(x.shape)} is no row of tokens")
        return [TensorType((*x.shape[:-1], self.columns(node)), DType.F32)]

    def evaluate(self, node: Node, inputs: Sequence[Array | None]) -> list[Array]:
        """By numpy, one n-gram after the other."""
        x = np.asarray(inputs[0])
        y = np.zeros((*x.shape[:-1], self.columns(node)), np.float32)
        for tokens, column in self.grams(node):
            for apart in range(1, node.attrs["max_skip_count"] + 2 if len(tokens) > 1 else 2):
                starts = x.shape[-1] - apart * (len(tokens) - 1)
                same = [x[..., i * apart : i * apart + starts] == token for i, token in enumerate(tokens)]
                y[..., column] += np.logical_and.reduce(same).sum(axis=-1) if starts > 0 else 0
        y = np.minimum(y, 1) if node.attrs["mode"] == "IDF" else y
        weights = self.weights(node)
        return [y if weights is None else y * weights]

    def lower(self, node: Node, graph: Graph) -> tuple[KernelCall, ...]:
        """One call."""
        x, grams = graph.tensors[node.inputs[0]], self.grams(node)
        params = {
            "rows": x.elements // x.shape[-1], "tokens": x.shape[-1], "columns": self.columns(node),
            "grams": len(grams), "skips": node.attrs["max_skip_count"], "once": int(node.attrs["mode"] == "IDF"),
            "index_type": C_ELEMENTS[x.dtype],
        }  # fmt: skip
        pool = np.array([token for tokens, _ in grams for token in tokens], np.int32)
        table = np.array([(len(tokens), column) for tokens, column in grams], np.int32)
        arguments = (x.name, pool, table, self.weights(node), node.output)
        return (KernelCall("ew_tfidf", "text/ew_tfidf.h", "ew_tfidf_params", params, arguments),)


@from_onnx("TfIdfVectorizer")
def _tfidf(foreign: Any) -> None:
    a = foreign.attrs
    if a.get("pool_strings"):
        foreign.unsupported("n-grams of strings")
    attrs: dict[str, Any] = {
        key: tuple(int(v) for v in a.get(key, ())) for key in ("ngram_counts", "ngram_indexes", "pool_int64s")
    }
    attrs.update({key: int(a[key]) for key in ("min_gram_length", "max_gram_length", "max_skip_count")})
    attrs["mode"] = a["mode"]
    weights = tuple(float(w) for w in a.get("weights", ()))
    grams = _grams(attrs)
    if attrs["mode"] not in ("TF", "IDF", "TFIDF") or min(attrs["min_gram_length"], attrs["max_skip_count"] + 1) < 1:
        raise ShapeError(f"mode {attrs['mode']}, n-grams from {attrs['min_gram_length']} tokens on")
    if len({tokens for tokens, _ in grams}) < len(grams):
        foreign.unsupported("an n-gram that is in the pool twice")
    if attrs["mode"] == "IDF" and len({column for _, column in grams}) < len(grams):
        foreign.unsupported("n-grams that share a column, in mode IDF")
    if not any(attrs["min_gram_length"] <= len(tokens) <= attrs["max_gram_length"] for tokens, _ in grams):
        foreign.unsupported("no n-gram of a length that is counted")
    if any(not -(2**31) < token < 2**31 - 1 for token in attrs["pool_int64s"]):
        foreign.unsupported("tokens that do not fit 32 bits")
    if weights:
        by_column = [weights[column] if column < len(weights) else None for _, column in grams]
        if len(weights) != len(grams) or by_column != list(weights):  # of an n-gram, as ONNX says, or of its column
            foreign.unsupported("weights whose order and that of ngram_indexes differ")
        attrs["weights"] = weights
    foreign.emit("TfIdfVectorizer", [foreign.tensor(0).name], final=0, **attrs)


_POOL = {"ngram_counts": [0, 4], "ngram_indexes": [0, 1, 2, 3, 4, 5, 6],
         "pool_int64s": [2, 3, 5, 4, 5, 6, 7, 8, 6, 7]}  # fmt: skip
_ROWS = Fixed(np.array([[1, 1, 3, 3, 3, 7], [8, 6, 7, 5, 6, 8]], np.int32))
cases(
    Case("TfIdfVectorizer", "skips", (_ROWS,), {
        **_POOL, "mode": "TF", "min_gram_length": 1, "max_gram_length": 2, "max_skip_count": 5}),
    Case("TfIdfVectorizer", "bigrams", (Fixed(ints(5, 6, 7, 8, 5, 6)),), {
        **_POOL, "mode": "TFIDF", "min_gram_length": 2, "max_gram_length": 2, "max_skip_count": 0,
        "weights": [1.0, 2.0, 3.0, 4.0, 0.5, 0.25, 1.5]}, slow=True),
    Case("TfIdfVectorizer", "idf", (_ROWS,), {
        **_POOL, "mode": "IDF", "min_gram_length": 1, "max_gram_length": 2, "max_skip_count": 1,
        "weights": [1.0, 2.0, 3.0, 4.0, 0.5, 0.25, 1.5]}, slow=True),
)  # fmt: skip
