"""The numbers of every figure, a module for each family; each function turns inputs into a table."""
