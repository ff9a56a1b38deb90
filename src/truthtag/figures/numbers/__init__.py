"""The numbers of every figure, a module for each family: inputs in, a table out."""
