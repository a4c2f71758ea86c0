"""When a model is trained again, and what decides it."""
