"""What is made of the figures for the documents: plots and tables."""
