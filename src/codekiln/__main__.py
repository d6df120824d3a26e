"""`python -m codekiln`, and `torchrun … -m codekiln`: the command line."""

from codekiln.cli.main import main

if __name__ == "__main__":
    main()
