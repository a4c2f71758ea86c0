"""The services of a local deployment: which there are, how each is started, what must be free and ready for them."""
