"""Clients of Kafka: topics and their settings, one producer a partition, one consumer with explicit offsets."""
