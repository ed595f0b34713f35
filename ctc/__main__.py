"""`python -m ctc`."""

from ctc.cli import main

main()
