//! A command in a terminal. `script` of util-linux provides the terminal; the test acts as the
//! person who reads the screen and types.

use std::io::{Read, Write};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

/// Longer than any step takes. A test that reaches it has found a bug.
const DEADLINE: Duration = Duration::from_secs(60);

/// Everything printed so far, and whether more can come.
type Screen = Arc<(Mutex<(String, bool)>, Condvar)>;

pub struct Terminal {
    script: Child,
    keyboard: ChildStdin,
    screen: Screen,
    /// The terminal's device, such as `/dev/pts/1`.
    device: String,
}

impl Terminal {
    /// Runs these words in a terminal, with the environment and directory of a command.
    #[track_caller]
    pub fn run(command: &Command) -> Self {
        let quote =
            |word: &std::ffi::OsStr| format!("'{}'", word.to_str().unwrap().replace('\'', r"'\''"));
        let words: Vec<_> =
            std::iter::once(command.get_program()).chain(command.get_args()).map(quote).collect();
        let mut script = Command::new("script");
        script.args(["-q", "-e", "-c", &format!("tty; exec {}", words.join(" ")), "/dev/null"]);
        script.env_clear().env("SHELL", "/bin/sh");
        script.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
        if let Some(directory) = command.get_current_dir() {
            script.current_dir(directory);
        }
        let mut script =
            script.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("script(1) runs");
        let keyboard = script.stdin.take().unwrap();
        let screen = Screen::default();
        let (into, mut from) = (Arc::clone(&screen), script.stdout.take().unwrap());
        std::thread::spawn(move || {
            let mut bytes = [0; 4096];
            loop {
                let length = from.read(&mut bytes).unwrap_or(0);
                let mut screen = into.0.lock().unwrap();
                screen.0 += &String::from_utf8_lossy(&bytes[..length]);
                screen.1 = length == 0;
                into.1.notify_all();
                if screen.1 {
                    return;
                }
            }
        });
        let mut terminal = Self { script, keyboard, screen, device: String::new() };
        let first = terminal.wait(|screen| Some(screen.split_once('\n')?.0.trim().to_owned()));
        terminal.device = first;
        terminal
    }

    /// Waits until this text is on the screen.
    #[track_caller]
    pub fn shows(&self, text: &str) {
        self.wait(|screen| printed(screen).contains(text).then_some(()));
    }

    /// Waits for the whole line that has this text, and returns the rest of the line after it.
    #[track_caller]
    pub fn behind(&self, text: &str) -> String {
        self.wait(|screen| {
            let (_, behind) = printed(screen).split_once(text)?;
            behind.split_once('\n').map(|(line, _)| line.trim_end().to_owned())
        })
    }

    /// Waits until the terminal no longer echoes what is typed: the prompt appears before that.
    #[track_caller]
    pub fn hides(&self) {
        let until = Instant::now() + DEADLINE;
        loop {
            let stty = Command::new("stty").args(["-a", "-F", &self.device]).output().unwrap();
            let settings = String::from_utf8_lossy(&stty.stdout).into_owned();
            if settings.split_whitespace().any(|word| word == "-echo") {
                return;
            }
            assert!(Instant::now() < until, "the terminal still echoes: {settings}");
            std::thread::yield_now();
        }
    }

    pub fn types(&mut self, text: &str) {
        self.keyboard.write_all(text.as_bytes()).unwrap();
        self.keyboard.flush().unwrap();
    }

    /// The screen's text, with normalized line breaks, and the exit code.
    #[track_caller]
    pub fn ends(mut self) -> (String, Option<i32>) {
        self.wait_for_end();
        let code = self.script.wait().unwrap().code();
        let screen = self.screen.0.lock().unwrap().0.replace("\r\n", "\n");
        (printed(&screen).to_owned(), code)
    }

    fn wait_for_end(&self) {
        let (screen, changed) = &*self.screen;
        let guard = screen.lock().unwrap();
        let (guard, waited) =
            changed.wait_timeout_while(guard, DEADLINE, |(_, ended)| !*ended).unwrap();
        assert!(!waited.timed_out(), "the command does not end: {}", guard.0);
    }

    #[track_caller]
    fn wait<T>(&self, what: impl Fn(&str) -> Option<T>) -> T {
        let (screen, changed) = &*self.screen;
        let guard = screen.lock().unwrap();
        let not_yet = |(text, ended): &mut (String, bool)| what(text).is_none() && !*ended;
        let (guard, _) = changed.wait_timeout_while(guard, DEADLINE, not_yet).unwrap();
        what(&guard.0).unwrap_or_else(|| panic!("the text never appeared: {}", guard.0))
    }
}

/// What the command printed: everything after the line that names the device.
fn printed(screen: &str) -> &str {
    screen.split_once('\n').map_or("", |(_device, text)| text)
}

impl Drop for Terminal {
    fn drop(&mut self) {
        if let Ok(None) = self.script.try_wait() {
            let _ = self.script.kill();
            let _ = self.script.wait();
        }
    }
}
