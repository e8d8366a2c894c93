"""What is done to the bytes of an image: decode, check, hash, compare, re-encode, split. CPU only; knows no rows, jobs or network.

Decoder processes import this package, so it imports nothing itself: import the module that you need.
"""
