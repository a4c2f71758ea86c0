"""Statistics, drift, expectations, ranking metrics and plots: judgement on data and models."""
