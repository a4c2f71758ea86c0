"""What is outside: Spark, MLflow and the like, as resources of the graph."""
