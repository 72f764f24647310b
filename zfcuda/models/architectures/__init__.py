"""Networks as readable lists of layers, and the registry of their names."""
