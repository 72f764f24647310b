"""``python -m benchmarks.reference``: docs/api/ from the docstrings of all public names, docs/commands.md from --help.

``names`` says what is public, ``docstring`` reads a docstring, ``pages`` writes docs/api/, ``verbs`` docs/commands.md.
"""
