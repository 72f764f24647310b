"""What the first layer of a network learned, and what of its stride shows in the second.

``filters`` measures filters by themselves, ``aliasing`` the projections of the second layer, ``network`` both of one
network, ``clipping`` a training with and without it, ``claims`` what they come to, ``drawing`` the pictures.
"""
