"""A local page to play with a classifier: paint over a part of a picture and see what becomes of the answer."""
