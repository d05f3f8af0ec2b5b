"""How good images are: whether they show the class or the caption asked for, how far they are from real ones."""
