"""`python -m cdp` is the command `cdp`."""

from cdp.cli import main

main()
