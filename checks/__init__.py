"""The checks of this repository's own rules, each runnable as `python -m checks.<name>`; `make lint` runs them."""
