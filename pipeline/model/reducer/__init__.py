"""The reducer: a small net in a nodule net's file that looks at its candidates once more."""
