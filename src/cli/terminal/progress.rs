//! A progress bar on stderr, hidden where stderr is not a terminal.

use std::io::{self, IsTerminal, Read, Write};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// Shows how many bytes have passed.
pub(in crate::cli) struct Progress(ProgressBar);

impl Progress {
    /// Starts a bar for a known number of bytes.
    pub fn exact(what: &'static str, bytes: u64) -> Self {
        Self::start(what, Some(bytes), "{msg} [{bar:30}] {bytes} of {total_bytes}, {eta} left")
    }

    /// Starts a bar for an estimated number of bytes; a spinner if there is no estimate.
    pub fn estimated(what: &'static str, bytes: Option<u64>) -> Self {
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
        // Drawn at once, because the first bytes may take a while.
        bar.tick();
        Self(bar)
    }

    pub fn reading<R: Read>(&self, from: R) -> impl Read {
        self.0.wrap_read(from)
    }

    pub fn writing<W: Write>(&self, to: W) -> ProgressWriter<'_, W> {
        ProgressWriter { to, bar: &self.0 }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        // Leaves a clean line for what is printed next.
        self.0.finish_and_clear();
    }
}

/// A writer that advances the bar.
pub(in crate::cli) struct ProgressWriter<'a, W> {
    pub to: W,
    bar: &'a ProgressBar,
}

impl<W: Write> Write for ProgressWriter<'_, W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.to.write(bytes)?;
        self.bar.inc(count as u64);
        // An estimate may have been too low: the bar never shows more than its total.
        if self.bar.length().is_some_and(|length| length < self.bar.position()) {
            self.bar.set_length(self.bar.position());
        }
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.to.flush()
    }
}
