"""Figure 1: one max pooling of a network, and what its deconvnet makes of a signal from above, step by step.

``attached`` walks and keeps every value on the way, ``extract`` chooses the few windows that are shown with their
numbers, ``drawing`` draws.
"""
