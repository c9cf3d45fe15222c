"""The distributed engine: the same law and the same chain behind CometBFT's agreement."""
