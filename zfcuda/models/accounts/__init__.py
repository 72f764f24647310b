"""What a network costs: the table of its layers, and the memory that it needs."""
