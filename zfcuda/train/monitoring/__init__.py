"""What a user sees of a run while it goes: a bar, warnings with figures, TensorBoard's files."""

from zfcuda.train.monitoring.monitor import Monitor

__all__ = ["Monitor"]
