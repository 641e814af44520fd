"""One float32 flatbuffer in, many bit-widths out."""
