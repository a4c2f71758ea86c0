"""What is outside: lake, broker, storage, Spark and MLflow, as resources of the graph."""
