"""docs/OPERATORS.md: every operator of ONNX and how it comes in, and every operator of ours, out of the registries."""

from __future__ import annotations

from collections.abc import Iterable

import onnx
import onnx.defs

from edgewright.conformance.report import cell
from edgewright.frontends.onnx_control import CONTROL_FLOW
from edgewright.frontends.onnx_folding import FOLDED_BY_ONNX
from edgewright.frontends.onnx_sequences import SEQUENCES
from edgewright.ir import DType
from edgewright.ops import ONNX_IMPORTERS, REFUSED, Operator

_WAYS = {
    "native": "by an importer of ours: kernels, or operators that have some",
    "unrolled": "resolved at import: branches, repetitions, sequences",
    "by its definition": "as the nodes that the standard defines it by",
    "at import": "computed where it reads constants only; refused otherwise",
    "refused": "for the reason that is given",
    "no": "refused",
}
_HEAD = """# Operators

Made by `edgewright-conformance --write`; do not edit. What each operator may look like is in
[REFERENCE](REFERENCE.md#limits-of-operators), how ONNX's own test cases fare in [CONFORMANCE](CONFORMANCE.md).
`edgewright inspect` says the same of one model's nodes.
"""


def markdown() -> str:
    """Return the document, for the installed onnx package."""
    schemas: dict[tuple[str, str], list[int]] = {}
    for schema in onnx.defs.get_all_schemas_with_history():
        schemas.setdefault((schema.domain, schema.name), []).append(schema.since_version)
    known = {(domain, name) for domain, name in schemas if not domain.startswith("ai.onnx.preview.training")}
    parts = (key.rpartition(".") for key in ONNX_IMPORTERS if "." in key)
    others = {(domain, name) for domain, _, name in parts}
    ways = {key: _way(*key, max(schemas.get(key, [1]))) for key in known | others}
    counts = {way: sum(found == way or found.startswith(f"{way}:") for found in ways.values()) for way in _WAYS}
    lines = [
        _HEAD,
        f"## ONNX's, of onnx {onnx.__version__}",
        "",
        "| how | operators | |",
        "| --- | ---: | --- |",
        *(f"| {way} | {counts[way]} | {text} |" for way, text in _WAYS.items()),
        "",
        "Versions are those of the operator sets that the standard defines it anew in.",
        "",
        "| operator | versions | how |",
        "| --- | --- | --- |",
    ]
    for domain, name in sorted(ways, key=lambda key: (key[0], key[1].lower())):
        versions = ", ".join(str(v) for v in sorted(set(schemas.get((domain, name), []))))
        lines.append(f"| {domain + '.' if domain else ''}{name} | {versions} | {cell(ways[domain, name])} |")
    lines += [
        "",
        "## Ours",
        "",
        "What a graph holds after import and passes: one file of `generator/ops/` for a family, with shape rule, numpy",
        "reference, kernels and cases.",
        "",
        "| operator | element types of its first input | what it is |",
        "| --- | --- | --- |",
        *(
            f"| {name} | {_types(rule.dtypes)} | {cell((rule.__doc__ or '').strip().splitlines()[0])} |"
            for name, rule in sorted(Operator.registry.items(), key=lambda item: item[0].lower())
        ),
        "",
    ]
    return "\n".join(lines)


def _way(domain: str, name: str, version: int) -> str:
    """How an operator of the newest operator set comes in."""
    key = f"{domain}.{name}" if domain else name
    if key in ONNX_IMPORTERS:
        return "native"
    if not domain and (name in CONTROL_FLOW or name in SEQUENCES):
        return "unrolled"
    if name in REFUSED or key in REFUSED:
        return f"refused: {REFUSED.get(key, REFUSED.get(name, ''))}"
    schema = _schema(domain, name, version)
    if schema is not None and (schema.has_function or schema.has_context_dependent_function):
        return "by its definition"
    if not domain and name in {*FOLDED_BY_ONNX, "Shape", "Size"}:
        return "at import"
    return "no"


def _schema(domain: str, name: str, version: int) -> onnx.defs.OpSchema | None:
    try:
        return onnx.defs.get_schema(name, version, domain)
    except onnx.defs.SchemaError:
        return None


def _types(dtypes: Iterable[DType]) -> str:
    found = set(dtypes)
    if found == set(DType):
        return "all"
    return ", ".join(dtype.value for dtype in DType if dtype in found)
