"""Conv and FullyConnected as what they both are: in each group, a matrix of weights times columns of inputs.

Shapes: weights [groups, outputs, inputs]; columns [groups, inputs, positions].
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from edgewright.ir import Array, Node
from edgewright.ops.window import pad_image, patches

MAX_COLUMN_ELEMENTS = 1 << 23  # of the columns that represent a layer's inputs


def as_matrix(node: Node, weights: Array) -> Array:
    """View weights as [groups, outputs / groups, inputs / groups]."""
    group = int(node.attrs.get("group", 1))
    return weights.reshape(group, weights.shape[0] // group, -1)


@dataclass(frozen=True, eq=False)
class Places:
    """Which positions (sample, and row and column of the output) stand for a layer's inputs. Shapes: (positions,)."""

    indices: Array


def places(node: Node, output: Array, inputs: int, seed: int) -> Places:
    """Choose positions, all where they are few; the same on each run. `inputs` counts the weights of a channel."""
    image = node.op == "Conv"
    count = output.size // output.shape[-3 if image else -1]
    group = int(node.attrs.get("group", 1))
    most = max(256, MAX_COLUMN_ELEMENTS // max(inputs * group, 1))
    if count <= most:
        return Places(np.arange(count))
    return Places(np.sort(np.random.default_rng(seed).choice(count, most, replace=False)))


def columns(node: Node, x: Array, where: Places) -> Array:
    """Return the inputs at some positions. Shapes: x (..., c, h, w) or (..., in) to [groups, inputs, positions]."""
    if node.op != "Conv":
        return x.reshape(-1, x.shape[-1])[where.indices].T[None]
    a, group = node.attrs, int(node.attrs.get("group", 1))
    images = x.reshape(-1, *x.shape[-3:])
    kernel, strides, dilations, pads = a["kernel"], a["strides"], a["dilations"], a["pads"]
    out = tuple(
        (images.shape[2 + i] + pads[i] + pads[i + 2] - (kernel[i] - 1) * dilations[i] - 1) // strides[i] + 1
        for i in (0, 1)
    )
    view = patches(pad_image(images, pads, out, node, 0.0), kernel, strides, dilations, out)
    sample, row, column = np.unravel_index(where.indices, (len(images), *out))
    chosen = view[sample, :, row, column]  # [positions, c, kh, kw]
    return chosen.reshape(len(chosen), group, -1).transpose(1, 2, 0)


@dataclass(frozen=True, eq=False)
class Moments:
    """Second moments of a layer's inputs, per position.

    Shapes: gram [groups, inputs, inputs] of the quantized inputs with themselves, cross of the float inputs with the
    quantized ones, real of the float inputs with themselves; mean_float and mean_quantized [groups, inputs]. Centred
    moments are about the means.
    """

    gram: Array
    cross: Array
    real: Array
    mean_float: Array
    mean_quantized: Array
    positions: int


def moments(real: Array, rounded: Array, centred: bool) -> Moments:
    """Return the moments of columns: `real` of the float network, `rounded` of the quantized one."""
    count = real.shape[2]
    mean_real, mean_rounded = real.mean(axis=2, dtype=np.float64), rounded.mean(axis=2, dtype=np.float64)
    if centred:
        real = real - mean_real.astype(np.float32)[:, :, None]
        rounded = rounded - mean_rounded.astype(np.float32)[:, :, None]
    turned = rounded.transpose(0, 2, 1)
    gram = np.matmul(rounded, turned).astype(np.float64) / count
    cross = np.matmul(real, turned).astype(np.float64) / count
    own = np.matmul(real, real.transpose(0, 2, 1)).astype(np.float64) / count
    return Moments(gram, cross, own, mean_real, mean_rounded, count)


def error_energy(weights: Array, integers: Array, scale: Array, m: Moments) -> Array:
    """Return the mean squared difference between float and quantized outputs.

    Shapes: weights and integers [groups, outputs, inputs], scale [groups, outputs]; the result [groups, outputs].
    """
    rounded = integers * scale[:, :, None]
    own = np.einsum("gok,gok->go", np.matmul(rounded, m.gram), rounded)
    shared = np.einsum("gok,gok->go", np.matmul(weights, m.cross), rounded)
    real = np.einsum("gok,gok->go", np.matmul(weights, m.real), weights)
    return np.asarray(np.maximum(real - 2 * shared + own, 0.0))
