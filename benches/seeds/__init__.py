"""The libraries that elsewhere has dialects for, each used in the same lines as published and as a dialect."""
