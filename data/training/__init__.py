"""Trains the course's networks from scratch, each by one seeded command.

augment   shifts, flips, colour changes and random erasing of a batch
descent   the training loop
fit       trains a classifier, with batch norm that is folded away afterwards
measure   accuracy, confusions, corruptions, the paste test
head      a new last layer behind global average pooling, for a network that is trained already
segmenter a decoder behind a classifier's features that says where the object is
generator a network that turns vectors into pictures
audit     the networks of notebook 12, some with a planted shortcut
recipes   which network is trained on what
card      the model card written beside the weights

python -m data.training tank_fair        trains one network (or several, or all)
"""
