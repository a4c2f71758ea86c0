"""Plots of runs, features and series as files below the state folder."""
