"""`python -m lazyml.cli`."""

from lazyml.cli import main

if __name__ == "__main__":
    main()
