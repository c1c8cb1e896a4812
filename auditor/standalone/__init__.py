"""The search for copies without any model: between two sources of images, or within one.

- ``searching``: what ``auditor overlap`` and ``auditor duplicates`` do, with an audit's own graph;
- ``signing``: what ``auditor sign`` does, signatures in a file that stands for its images.
"""
