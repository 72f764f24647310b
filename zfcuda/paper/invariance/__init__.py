"""Pictures shifted, enlarged, turned and flipped, and how far that moves the features of a network (Figure 5)."""
