"""The copy search: index, seeds, alignment, passages, how surprising and how related they are."""
