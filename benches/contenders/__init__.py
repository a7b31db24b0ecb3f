"""The ways to use an object in another process that are measured beside each other, one file for each."""
