"""Any CNN as a graph: its layers by name, what computes each, and which pixels each unit sees."""

from zfcuda.network.graph import Network, Node, Ref, outline
from zfcuda.network.intact import evaluating
from zfcuda.network.receptive import ReceptiveField, receptive_field, receptive_fields
from zfcuda.network.trace import layers, trace

__all__ = [
    "Network",
    "Node",
    "ReceptiveField",
    "Ref",
    "evaluating",
    "layers",
    "outline",
    "receptive_field",
    "receptive_fields",
    "trace",
]
