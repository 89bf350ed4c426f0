"""What a net needs to be given to others: a small file, and a card that says what it is."""
