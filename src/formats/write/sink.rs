//! The target of a writer: a string, or a counter that measures the text first.
//!
//! Owns: the trait and its two implementations.
//! Must never: keep a copy of what passes through the counter.
//! Called by: the writers and `template`.

/// Receives the pieces of a text in order.
pub(in crate::formats) trait Sink {
    /// Appends a piece.
    fn put(&mut self, piece: &str);

    /// Appends one character.
    fn put_char(&mut self, c: char) {
        self.put(c.encode_utf8(&mut [0; 4]));
    }
}

/// Counts the bytes of a text, so that its buffer can be allocated once.
pub(in crate::formats) struct ByteCounter(pub(in crate::formats) usize);

impl Sink for ByteCounter {
    fn put(&mut self, piece: &str) {
        self.0 += piece.len();
    }
}

impl Sink for String {
    fn put(&mut self, piece: &str) {
        self.push_str(piece);
    }
}
