"""Numbers by day: what is measured of the log, of predictions and of what people did with them."""
