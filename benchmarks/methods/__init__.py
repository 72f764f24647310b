"""``python -m benchmarks.methods``: every method on one photograph, for docs/methods.md: pictures, times, figures.

``scene`` is what all of them look at; ``attribution``, ``features``, ``further``, ``synthesis`` and ``faithfulness``
run them; ``document`` writes what came into the places that docs/methods.md has for it. The words of that file are
written by hand.
"""
