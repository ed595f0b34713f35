"""What `ctc init` proposes: a spec, from the data and the scripts of a folder. Every guess says why it was made."""
