"""Getting predictions to whoever asks: topic, storage with generations, and the process between them."""
