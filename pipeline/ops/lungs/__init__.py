"""Finding the lungs in a CT, from the outside air to the verdict."""
