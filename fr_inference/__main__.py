"""`python -m fr_inference PROGRAM --flags`: the same as the command `fr-inference`."""

from fr_inference import console

if __name__ == '__main__':
    console.main()
