"""Finds pictures that two splits share, or one holds twice, and says what they mean for a test.

- ``signature``, ``views``: sum a picture up in a few bytes;
- ``splits``, ``lists``: the signatures of a split, and which of its pictures are distinct;
- ``search``, ``soft``, ``candidates``, ``device``, ``dihedral``: which pairs to look at;
- ``pixels``, ``verify``, ``thumbnail``: look at their pixels;
- ``strangers``, ``look_alikes``, ``decoys``, ``score``, ``judge``: the threshold that decides, and
  its error rate;
- ``control``: whether plain copies would be found at all;
- ``near``, ``overlap``, ``clusters``, ``result``: put it together;
- ``contamination``, ``exhibit``: what it means, and its pictures.
"""
