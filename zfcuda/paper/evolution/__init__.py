"""How a network came about: the snapshots of a training, when each layer has converged, and pictures of both.

``history`` reads the snapshots, ``convergence`` has the measures, ``verdict`` says what they come to, ``drawing`` and
``curves`` are the pictures.
"""
