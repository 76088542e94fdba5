"""What is wrong with a set of images before anything is trained on it. One file = one check; the folder is the
registry.
"""
