"""Post-training quantization: a float Graph and samples in, what its integers are out. See docs/QUANTIZATION.md.

`post_training.py` is the way through: check the samples (`calibrate`), bring the graph into form (`prepare`), see what
values its tensors take (`observers`), even out its layers (`equalize`), decide who shares parameters (`groups`,
`ranges`, `choices`), round weights and correct biases layer by layer (`sweep`, `rounding`, `weights`), keep what hurts
in more bits (`mixed`), and report. No file formats, no boards: `frontends/onnx_export.py` writes the result.
"""
