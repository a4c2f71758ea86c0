"""Vectors of users and sources: what they are fitted on, and the engines that fit them."""
