//! Formats that have a pair on each line: docker's, systemd's, a shell's.

use crate::formats::{Sink, Why, no_nul};

/// What docker's reader keeps in memory of a line (bufio.MaxScanTokenSize of
/// Go), its line break included.
const DOCKER_LINE_BYTES: usize = 64 * 1024;

/// `docker run --env-file`: everything behind the first `=` is the value, as it
/// stands; there are no quotes and no escapes.
pub(in crate::formats) fn docker(key: &str, value: &str, out: &mut dyn Sink) -> Result<(), Why> {
    no_nul(value)?;
    if value.contains('\n') {
        return Err("holds a line break, which docker's env files cannot");
    }
    // Go's line scanner takes it for a part of the line break.
    if value.ends_with('\r') {
        return Err("ends in a carriage return, which docker's env files cannot hold");
    }
    // Key, `=`, value, line break; and one to spare.
    if key.len() + value.len() + 3 > DOCKER_LINE_BYTES {
        return Err("is longer than the 64 KiB that docker reads of a line");
    }
    for piece in [key, "=", value, "\n"] {
        out.put(piece);
    }
    Ok(())
}

/// `EnvironmentFile=` of systemd.exec(5): in double quotes a backslash takes its
/// meaning from `"`, `\`, `` ` `` and `$`; everything else stands for itself, line
/// breaks included.
pub(in crate::formats) fn systemd(key: &str, value: &str, out: &mut dyn Sink) -> Result<(), Why> {
    no_nul(value)?;
    if value.chars().any(is_noncharacter) {
        return Err("holds a Unicode noncharacter, which systemd refuses");
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

/// Code points that are never characters (Unicode, section 23.7).
fn is_noncharacter(c: char) -> bool {
    let code = u32::from(c);
    matches!(code, 0xfdd0..=0xfdef) || code & 0xfffe == 0xfffe
}

/// Variables that bash or a POSIX shell does not let be set, or works out anew
/// whenever they are read (bash(1), "Shell Variables").
const OF_THE_SHELL: [&str; 22] = [
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

/// Likewise, those with a meaning that depends on the shell.
const COUNTED: [&str; 4] = ["BASH_COMMAND", "HISTCMD", "LINENO", "RANDOM"];

/// A line for a POSIX shell to source: in single quotes everything stands for
/// itself, and `'\''` is a single quote.
pub(in crate::formats) fn shell(key: &str, value: &str, out: &mut dyn Sink) -> Result<(), Why> {
    no_nul(value)?;
    if OF_THE_SHELL.contains(&key) || COUNTED.contains(&key) {
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
