"""Two-stage recommendation of sources: embeddings, exact retrieval, candidates, a learned ranker, batch inference."""
