"""Entry point of `python -m data.training`."""

from .command import main

if __name__ == "__main__":
    main()
