"""How good images are: a classifier of real images, the share of samples that show their class."""
