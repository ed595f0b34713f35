"""Deploying: what a compiled bundle should be in a cloud, against what is there. Knows no vendor."""
