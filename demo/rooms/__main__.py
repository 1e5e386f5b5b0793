"""`python -m demo.rooms --seeds 1000:1100 --out DIR` renders rooms into files."""

from demo.rooms.files import main

# Worker processes import `files`, not this module: a package's __main__ cannot be imported again.
if __name__ == "__main__":
    main()
