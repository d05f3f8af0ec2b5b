"""The blocks that a U-Net is built of."""
