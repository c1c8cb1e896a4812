"""What a candidate costs beside what it achieves.

``frontier`` says who dominates whom, ``published`` lists the models to stand among, ``standing``
judges the candidate's place among them and the user's own, ``speed`` decides whether times keep a
limit, and ``exhibit`` is the report's part.
"""
