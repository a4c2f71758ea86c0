"""The embedded Kafka broker, its settings and its jars."""
