"""What a candidate costs beside what it achieves.

``frontier`` says who dominates whom, ``standing`` judges the candidate's place among published
models and the user's own, ``speed`` decides whether times keep a limit, and ``exhibit`` is the
report's part.
"""
