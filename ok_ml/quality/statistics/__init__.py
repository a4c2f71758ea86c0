"""Small tables of numbers about data: histograms, sketches, statistics of features, events, embeddings, predictions."""
