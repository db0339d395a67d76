"""Runs the cases of ONNX's own backend test suite through generated C on this computer, and reports by operator."""
