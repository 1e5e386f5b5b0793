"""What a change did to the results, for the person who reviews it."""
