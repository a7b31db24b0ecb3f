"""The names that users of other libraries know, one module for each library.

Owns: nothing but the folder. Must not know: anything. A dialect uses the public names of elsewhere; nothing uses it.
"""
