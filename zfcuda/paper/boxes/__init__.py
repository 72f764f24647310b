"""Boxes around maps: ``rule`` draws them, ``components`` finds what hangs together, ``tuning`` chooses the rule.

``measured`` does it for one picture, ``compared`` for many, ``sheet`` draws examples.
"""
