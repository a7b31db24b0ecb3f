"""Other libraries for objects in other processes, each used as its documentation says is fastest."""
