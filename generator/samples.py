"""The user's data: an .npz in, checked arrays by input name, packed into the bytes a device takes, and back.

A data file is untrusted: pickles are never loaded, sizes and types are checked before anything is packed.
"""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from edgewright.errors import DataError
from edgewright.ir import Array, DType
from edgewright.manifest import Manifest, Port

LABELS = "y"
SINGLE_INPUT = "x"


@dataclass(frozen=True, eq=False)
class DataSet:
    """Samples by input name and, where given, labels.

    Shapes: `inputs[name]` is (n, *shape of one sample); `labels` is (n,) or None.
    """

    inputs: Mapping[str, Array]
    labels: Array | None

    @property
    def samples(self) -> int:
        """Number of samples; one for a model without inputs."""
        return len(next(iter(self.inputs.values()))) if self.inputs else 1


def load_npz(path: Path) -> dict[str, Array]:
    """Read the arrays of an .npz file. Raises: DataError."""
    try:
        loaded = np.load(path, allow_pickle=False)
        if not isinstance(loaded, np.lib.npyio.NpzFile):
            raise DataError(f"'{path}' is a single array; expected an .npz with an array called 'x'")
        with loaded as archive:
            arrays = {name: archive[name] for name in archive.files}
    except OSError as error:
        raise DataError(f"cannot read the data file '{path}': {error.strerror or 'it is damaged'}") from error
    except (ValueError, EOFError, KeyError, zipfile.BadZipFile, zlib.error) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        if "pickle" in reason:  # what numpy takes for one, and advises to load
            reason = "it holds objects, or is no archive at all"
        raise DataError(f"'{path}' is not an .npz file of plain arrays: {reason}") from error
    except MemoryError as error:
        raise DataError(f"'{path}' claims to hold more than this computer's memory") from error
    strange = [name for name, values in arrays.items() if not isinstance(values, np.ndarray)]
    if strange:
        raise DataError(f"'{path}' is not an .npz file of plain arrays: '{strange[0]}' is none")
    return arrays


def sample_shape(port: Port) -> tuple[int, ...]:
    """Shape of one sample in the data: the input's, without its leading 1 (the batch)."""
    return port.shape[1:] if port.shape and port.shape[0] == 1 else port.shape


def check_data(arrays: Mapping[str, Array], ports: Sequence[Port], labels: Array | None = None) -> DataSet:
    """Return the data as the model's inputs take them.

    Accepted without a word: integers for a float input where every value is exact in float32.
    Raises: DataError for a wrong name, shape or type, an empty set, NaN or infinity.
    """
    given = dict(arrays)
    labels = given.pop(LABELS, None) if labels is None and LABELS not in {p.name for p in ports} else labels
    if len(ports) == 1 and SINGLE_INPUT in given:
        given = {ports[0].name: given[SINGLE_INPUT]}
    wanted = [port.name for port in ports]
    missing = [name for name in wanted if name not in given]
    if missing:
        found = ", ".join(sorted(given)) or "nothing"
        hint = " (or 'x')" if len(ports) == 1 else ""
        raise DataError(f"the data hold {found}; the model needs an array called {', '.join(missing)}{hint}")
    inputs = {port.name: _checked(given[port.name], port) for port in ports}
    counts = {len(values) for values in inputs.values()}
    if len(counts) > 1:
        raise DataError(f"the inputs have different numbers of samples: {sorted(counts)}")
    count = counts.pop() if counts else 1  # a model without inputs is run once
    if count == 0:
        raise DataError("the data set is empty: there is nothing to run")
    if labels is not None:
        labels = np.asarray(labels)
        if labels.ndim == 2 and labels.shape[1] == 1:
            labels = labels[:, 0]
        if labels.shape[:1] != (count,):
            raise DataError(f"'{LABELS}' has shape {list(labels.shape)} for {count} samples")
    return DataSet(inputs, labels)


def _checked(values: Array, port: Port) -> Array:
    shape = sample_shape(port)
    if values.shape[1:] == (1, *shape) and port.shape[0] == 1:  # the batch of 1 was kept
        values = values.reshape(len(values), *shape)
    if values.ndim == 0 or values.shape[1:] != shape:
        raise DataError(
            f"input '{port.name}': the data have shape {list(values.shape)}; expected [n, "
            f"{', '.join(map(str, shape))}], the samples first"
            if shape
            else f"input '{port.name}': the data have shape {list(values.shape)}; expected [n]"
        )
    if values.dtype != port.dtype.numpy:
        values = _converted(values, port)
    if values.dtype.kind == "f" and not np.isfinite(values).all():
        bad = int(np.argwhere(~np.isfinite(values.reshape(len(values), -1)).all(axis=1))[0][0])
        raise DataError(f"input '{port.name}': sample {bad} holds NaN or infinity")
    return values


def _converted(values: Array, port: Port) -> Array:
    """Convert without loss, or refuse."""
    wanted = port.dtype.numpy
    message = f"input '{port.name}': the data have type {values.dtype}; expected {wanted}"
    if values.dtype.kind not in "iuf" or (values.dtype.kind == "f" and wanted.kind != "f"):
        raise DataError(message)
    with np.errstate(over="ignore"):
        converted = values.astype(wanted)
    if values.dtype == np.float64 and wanted == np.float32:  # what numpy makes by default: rounding is expected
        return converted
    if not np.array_equal(converted.astype(values.dtype), values):
        raise DataError(f"{message}, and not every value is exact in it")
    return converted


def pack(data: DataSet, manifest: Manifest) -> Array:
    """Return the samples as a device takes them. Shapes: uint8 (n, input_bytes)."""
    packed = np.zeros((data.samples, manifest.input_bytes), np.uint8)
    for port in manifest.inputs:
        values = np.ascontiguousarray(data.inputs[port.name])
        raw = values.reshape(data.samples, -1).view(np.uint8).reshape(data.samples, -1)
        packed[:, port.offset_bytes : port.offset_bytes + port.size_bytes] = raw
    return packed


def unpack(packed: Array, manifest: Manifest) -> dict[str, Array]:
    """Return the outputs by name. Shapes: uint8 (n, output_bytes) to (n, *shape of one sample)."""
    outputs = {}
    for port in manifest.outputs:
        raw = np.ascontiguousarray(packed[:, port.offset_bytes : port.offset_bytes + port.size_bytes])
        dtype = np.dtype(np.uint8) if port.dtype is DType.B8 else port.dtype.numpy
        values = raw.view(dtype).reshape(len(packed), *sample_shape(port))
        outputs[port.name] = values.astype(bool) if port.dtype is DType.B8 else values
    return outputs
