"""Where candidates come from: exact retrieval, neighbours, popularity, and the network as of one day."""
