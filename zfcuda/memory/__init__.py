"""Memory: how much there is, what one forward of a model takes of it, and work that goes on where it runs out."""
