"""Launcher for a checkout: `python cli.py run` is `bench run`."""

from bench.cli import main

if __name__ == "__main__":
    main()
