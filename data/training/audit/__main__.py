"""Entry point of `python -m data.training.audit`."""

from .command import main

if __name__ == "__main__":
    main()
