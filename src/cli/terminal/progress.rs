//! A bar on the terminal for what takes a while; nothing where nobody looks.

use std::io::{self, IsTerminal, Read, Write};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// Counts the bytes that pass.
pub(in crate::cli) struct Progress(ProgressBar);

impl Progress {
    /// Of so many bytes.
    pub fn of(what: &'static str, bytes: u64) -> Self {
        Self::start(what, Some(bytes), "{msg} [{bar:30}] {bytes} of {total_bytes}, {eta} left")
    }

    /// Of about so many bytes, if even that is known.
    pub fn of_about(what: &'static str, bytes: Option<u64>) -> Self {
        let template = match bytes {
            Some(_) => "{msg} [{bar:30}] {bytes} of about {total_bytes}, {eta} left",
            None => "{msg} {spinner} {bytes}, {bytes_per_sec}",
        };
        Self::start(what, bytes, template)
    }

    fn start(what: &'static str, bytes: Option<u64>, template: &str) -> Self {
        let target = if io::stderr().is_terminal() {
            ProgressDrawTarget::stderr()
        } else {
            ProgressDrawTarget::hidden()
        };
        let bar = ProgressBar::with_draw_target(bytes, target).with_message(what);
        let style = ProgressStyle::with_template(template).expect("the template is well formed");
        bar.set_style(style.progress_chars("=> "));
        // At once: what comes first may take a while itself.
        bar.tick();
        Self(bar)
    }

    pub fn reading<R: Read>(&self, from: R) -> impl Read {
        self.0.wrap_read(from)
    }

    pub fn writing<W: Write>(&self, to: W) -> Counted<'_, W> {
        Counted { to, bar: &self.0 }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        // What comes next on the terminal begins on a clean line.
        self.0.finish_and_clear();
    }
}

/// A writer that moves the bar.
pub(in crate::cli) struct Counted<'a, W> {
    pub to: W,
    bar: &'a ProgressBar,
}

impl<W: Write> Write for Counted<'_, W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.to.write(bytes)?;
        self.bar.inc(count as u64);
        // A length that was a guess: no bar shows more than all of it.
        if self.bar.length().is_some_and(|length| length < self.bar.position()) {
            self.bar.set_length(self.bar.position());
        }
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.to.flush()
    }
}
