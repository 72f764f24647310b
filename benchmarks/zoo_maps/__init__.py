"""Occlusion maps of all of torchvision's classification networks and EfficientNet-Lite0, beside what they could win.

`python -m benchmarks occlusion --networks zoo --json FILE` measures them, `--networks NAME ...` some of them.
"""
