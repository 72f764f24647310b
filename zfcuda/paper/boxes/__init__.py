"""Boxes around maps, for localisation.

``rule`` draws a box, ``components`` finds what hangs together, ``measured`` does it for one picture; ``compared`` tunes
the rules on some pictures and measures them on others, ``sheet`` draws examples.
"""
