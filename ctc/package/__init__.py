"""Images: what they are built from, byte for byte, and the digests by which what is compiled names them."""
