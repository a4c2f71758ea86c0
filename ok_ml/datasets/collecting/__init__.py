"""Events that arrive on a Kafka topic become committed days of the lake: each once, none lost."""
