"""Finds pictures that two splits share: decoding, signatures, searching, verifying, joining.

``decode`` opens a file, ``signature`` sums it up in a few bytes, ``search`` joins perceptual
hashes within a radius, ``verify`` looks at the pixels of what was found, ``overlap`` puts them
together and ``thumbnail`` shows the result.
"""
