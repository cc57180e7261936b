"""Entry point of `python -m data.rendering`."""

from .command import main

if __name__ == "__main__":
    main()
