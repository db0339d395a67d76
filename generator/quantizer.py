"""The quantize stage: a float Model and samples in, a quantized Model (QDQ ONNX, imported again) and its report out."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from edgewright.files import write_bytes
from edgewright.frontends.onnx import Model, import_onnx
from edgewright.frontends.onnx_export import export_onnx
from edgewright.ir import Array
from edgewright.quantization.execute import keeps_batch_axis
from edgewright.quantization.options import Options
from edgewright.quantization.post_training import Progress, quantize_graph
from edgewright.quantization.report import QuantizationReport


@dataclass(frozen=True, eq=False, kw_only=True)
class QuantizedModel(Model):
    """A model in integers. `onnx` is the file's content: QuantizeLinear and DequantizeLinear around float operators."""

    report: QuantizationReport
    onnx: bytes

    def save(self, path: str | Path) -> Path:
        """Write the QDQ ONNX file, all of it or nothing."""
        write_bytes(Path(path), self.onnx)
        return Path(path)


def quantize_model(
    model: Model, arrays: Mapping[str, Array], options: Options | None = None, progress: Progress | None = None
) -> QuantizedModel:
    """Quantize a float model.

    Shapes: `arrays` as in a data file: samples first, by input name or `x`; `y` holds class numbers.
    Raises: DataError, QuantizationError.
    """
    done = quantize_graph(model.graph, arrays, options, progress)
    dynamic = model.dynamic_batch and keeps_batch_axis(done.graph)
    proto = export_onnx(done.graph, done.quantization, dynamic_batch=dynamic)
    raw = proto.SerializeToString(deterministic=True)
    imported = import_onnx(proto, model.name, hashlib.sha256(raw).hexdigest(), {}, where="the quantized model")
    return QuantizedModel(
        name=imported.name, graph=imported.graph, operators=imported.operators, serialized=imported.serialized,
        sha256=imported.sha256, dynamic_batch=imported.dynamic_batch, report=done.report, onnx=raw,
    )  # fmt: skip
