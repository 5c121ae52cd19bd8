"""``python -m david_cli``."""

from david_cli.cli.app import main

if __name__ == "__main__":
    main()
