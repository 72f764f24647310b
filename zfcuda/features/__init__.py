"""What fires: activations, filters, dead units, codes, neighbours, embeddings, the strongest patches of a data set."""
