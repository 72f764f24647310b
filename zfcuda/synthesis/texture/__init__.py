"""Textures of a sample: by its neighbourhoods (Wei & Levoy), and by the Gram matrices of layers (Gatys et al.)."""
