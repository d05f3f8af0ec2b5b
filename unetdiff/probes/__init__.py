"""What can be told from a denoiser's features: small networks and estimators trained on them."""
