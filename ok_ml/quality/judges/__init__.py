"""Rules, drift and expectations as pure functions, their verdicts and what a person accepted of them."""
