"""Folds a Pad with zeros (the zero point) on the image axes into the convolution or average pooling that reads it."""

from __future__ import annotations

from dataclasses import replace

from edgewright.ir import Editor, Graph, Node, live_nodes


def _image_pads(pad: Node, layout: str, zero: float) -> tuple[int, int, int, int] | None:
    """Return (top, left, bottom, right) where the Pad does nothing else, and only adds `zero`."""
    begins, ends = pad.attrs["begins"], pad.attrs["ends"]
    if pad.attrs.get("mode", "constant") != "constant" or pad.attrs.get("value", 0.0) != zero or len(begins) != 4:
        return None
    spatial = (2, 3) if layout == "NCHW" else (1, 2)
    others = [axis for axis in range(4) if axis not in spatial]
    if any(begins[axis] or ends[axis] for axis in others) or min(*begins, *ends) < 0:
        return None
    top, left = (begins[axis] for axis in spatial)
    bottom, right = (ends[axis] for axis in spatial)
    return top, left, bottom, right


def fold_pads(graph: Graph) -> Graph:
    """Return the graph with such pads in the attributes of their readers."""
    editor = Editor(graph)
    producers = editor.producers()
    for node in graph.nodes:
        pad = producers.get(node.inputs[0])
        if node.op not in ("Conv", "AveragePool", "QConv", "QAveragePool") or pad is None or pad.op != "Pad":
            continue
        extra = _image_pads(pad, node.attrs["layout"], node.attrs.get("x_zero", 0.0))
        if extra is None:
            continue
        attrs = {"pads": tuple(a + b for a, b in zip(node.attrs["pads"], extra, strict=True))}
        if node.op.endswith("AveragePool"):
            padded = any(node.attrs["pads"])
            if node.attrs.get("ceil_mode") or (padded and not node.attrs.get("count_include_pad")):
                continue  # a divisor that no pads of one window operator give
            attrs["count_include_pad"] = True  # type: ignore[assignment]
        new = replace(node.with_attrs(**attrs), inputs=(pad.inputs[0], *node.inputs[1:]))
        editor.replace_node(node, [new])
    result = editor.graph()
    return replace(result, nodes=tuple(live_nodes(result)))
