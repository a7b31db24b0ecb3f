"""What is measured, one file for each workload; each gives rows and knows none of the others."""
