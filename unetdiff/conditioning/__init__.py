"""Kinds of conditions: each turns what is known of an image into keywords of a denoiser, and says what its null is."""
