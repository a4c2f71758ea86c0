"""What a feature is computed from: events, what is counted of them, and sums over windows that never look ahead."""
