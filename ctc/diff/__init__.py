"""What a change of specs means: two states of the files, compared value by value and by what they compile to."""
