"""The nets that come with the package, each with what a person wrote of it and its card."""
