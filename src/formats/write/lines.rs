//! Formats with one pair per line: Docker's, systemd's and a shell's.
//!
//! Owns: the quoting and the limits of these three.
//! Must never: write a line that its reader would split, expand or refuse.
//! Called by: `document`.

use crate::formats::write::sink::Sink;
use crate::formats::write::unsupported::{Reason, refuse_nul};

/// The longest line, with its line break, that Docker's reader accepts (bufio.MaxScanTokenSize in
/// Go).
const DOCKER_LINE_BYTES: usize = 64 * 1024;

/// Writes a line for `docker run --env-file`: everything after the first `=` is the value,
/// literally; there are no quotes and no escapes.
pub(super) fn docker(key: &str, value: &str, out: &mut dyn Sink) -> Result<(), Reason> {
    refuse_nul(value)?;
    if value.contains('\n') {
        return Err("contains a line break, which a Docker env file cannot hold");
    }
    // Go's line scanner would take it as part of the line break.
    if value.ends_with('\r') {
        return Err("ends in a carriage return, which a Docker env file cannot hold");
    }
    // Key, `=`, value, line break, and one byte to spare.
    if key.len() + value.len() + 3 > DOCKER_LINE_BYTES {
        return Err("is too long: Docker reads lines of up to 64 KiB");
    }
    for piece in [key, "=", value, "\n"] {
        out.put(piece);
    }
    Ok(())
}

/// Writes a line for `EnvironmentFile=` (systemd.exec(5)): in double quotes a backslash escapes
/// `"`, `\`, `` ` `` and `$`; everything else is literal, including line breaks.
pub(super) fn systemd(key: &str, value: &str, out: &mut dyn Sink) -> Result<(), Reason> {
    refuse_nul(value)?;
    if value.chars().any(is_noncharacter) {
        return Err("contains a Unicode noncharacter, which systemd refuses");
    }
    out.put(key);
    out.put("=\"");
    for c in value.chars() {
        if matches!(c, '"' | '\\' | '`' | '$') {
            out.put("\\");
        }
        out.put_char(c);
    }
    out.put("\"\n");
    Ok(())
}

/// Reports whether a code point is reserved as a noncharacter (Unicode, section 23.7).
fn is_noncharacter(c: char) -> bool {
    let code = u32::from(c);
    matches!(code, 0xfdd0..=0xfdef) || code & 0xfffe == 0xfffe
}

/// Variables that bash or a POSIX shell does not allow to be set, or computes on every read
/// (bash(1), "Shell Variables").
const SHELL_VARIABLES: [&str; 22] = [
    "BASHOPTS",
    "BASHPID",
    "BASH_ARGC",
    "BASH_ARGV",
    "BASH_CMDS",
    "BASH_ALIASES",
    "BASH_LINENO",
    "BASH_SOURCE",
    "BASH_SUBSHELL",
    "BASH_VERSINFO",
    "DIRSTACK",
    "EPOCHREALTIME",
    "EPOCHSECONDS",
    "EUID",
    "FUNCNAME",
    "GROUPS",
    "OPTIND",
    "PPID",
    "SECONDS",
    "SHELLOPTS",
    "SRANDOM",
    "UID",
];

/// Variables that only some shells set themselves.
const SHELL_DEPENDENT_VARIABLES: [&str; 4] = ["BASH_COMMAND", "HISTCMD", "LINENO", "RANDOM"];

/// Writes a line for a POSIX shell to source: in single quotes everything is literal, and `'\''` is
/// a single quote.
pub(super) fn shell(key: &str, value: &str, out: &mut dyn Sink) -> Result<(), Reason> {
    refuse_nul(value)?;
    if SHELL_VARIABLES.contains(&key) || SHELL_DEPENDENT_VARIABLES.contains(&key) {
        return Err("is a variable that the shell itself sets");
    }
    for piece in ["export ", key, "='"] {
        out.put(piece);
    }
    for (index, piece) in value.split('\'').enumerate() {
        if index > 0 {
            out.put(r"'\''");
        }
        out.put(piece);
    }
    out.put("'\n");
    Ok(())
}
