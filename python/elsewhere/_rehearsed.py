"""What a spare imports beforehand, so that the import of what is wanted later finds its way.

Owns: nothing. Must not know: anything.
"""
