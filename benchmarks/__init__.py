"""Benchmarks: each verifies its result, warms up, interleaves the sides, and gives medians with their spread."""
