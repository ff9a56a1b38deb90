"""What was learned, in the forms that other frameworks read."""
