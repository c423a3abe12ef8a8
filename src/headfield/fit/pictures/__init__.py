"""A scan's face found in pictures of it: views, a detector for pictures, its mesh lifted back into space, alignment."""
