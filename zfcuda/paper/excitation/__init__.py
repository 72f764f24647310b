"""Figure 2: what excites units most, beside its projections, in pictures and in numbers.

``crops`` cuts both out and asks where they lie, ``likeness`` and ``purity`` measure, ``sheets`` draws.
"""
