//! `coffer completions` and `coffer man`: read by the programs that they are for.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use support::process::{Launch, has_program};
use support::skip;

fn run(words: &[&str]) -> String {
    let dir = tempfile::tempdir().unwrap();
    let ended = words.iter().fold(Launch::bare(dir.path()), Launch::argument).run("");
    assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""), "{ended:#?}");
    ended.stdout
}

/// Runs a program with this on stdin and returns its output, if it succeeded.
fn read_by(program: &str, words: &[&str], input: &str) -> String {
    let mut child = Command::new(program)
        .args(words)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let complaints = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success() && complaints.is_empty(), "{program}: {complaints}");
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn bash_loads_the_completion_and_completes_with_it() {
    if !has_program("bash") {
        return skip("there is no bash");
    }
    let text = run(&["completions", "bash"]);
    let asks = "\ncomplete -p coffer\n\
        COMP_WORDS=(coffer secret re) COMP_CWORD=2\n\
        _coffer coffer re secret\n\
        printf '%s\\n' \"${COMPREPLY[@]}\"\n\
        COMP_WORDS=(coffer secret set --ne) COMP_CWORD=3\n\
        _coffer coffer --ne set\n\
        printf '%s\\n' \"${COMPREPLY[@]}\"\n";
    let said = read_by("bash", &["--norc", "--noprofile"], &(text + asks));
    let lines: Vec<_> = said.lines().collect();
    let registered = lines[0].starts_with("complete ") && lines[0].ends_with(" -F _coffer coffer");
    assert!(registered, "{said}");
    assert_eq!(lines[1..], ["reveal", "--never-reveal"]);
}

#[test]
fn zsh_and_fish_have_theirs() {
    let zsh = run(&["completions", "zsh"]);
    assert!(zsh.starts_with("#compdef coffer"), "{zsh}");
    if has_program("zsh") {
        read_by("zsh", &["-n"], &zsh);
    }
    let fish = run(&["completions", "fish"]);
    assert!(fish.contains("complete -c coffer"), "{fish}");
    if has_program("fish") {
        read_by("fish", &["-n"], &fish);
    }
    let dir = tempfile::tempdir().unwrap();
    let other = Launch::bare(dir.path()).arguments(["completions", "tcsh"]).run("");
    other.refuses(2, ["bash, zsh, fish"]);
}

#[test]
fn man_shows_a_page_for_every_command() {
    let page = run(&["man"]);
    assert!(page.contains(".TH coffer 1"), "{page}");
    let dir = tempfile::tempdir().unwrap();
    run(&["man", dir.path().to_str().unwrap()]);
    let pages = |name: &str| dir.path().join(name);
    for name in ["coffer.1", "coffer-secret.1", "coffer-secret-set.1", "coffer-copy.1"] {
        assert!(pages(name).is_file(), "{name}");
    }
    if !has_program("man") {
        return skip("there is no man(1)");
    }
    let whole = shown(&pages("coffer.1"));
    for word in ["NAME", "SYNOPSIS", "coffer-secret(1)", "Exit codes"] {
        assert!(whole.contains(word), "{word}: {whole}");
    }
    let set = shown(&pages("coffer-secret-set.1"));
    for word in ["--never-reveal", "--stdin", "--file", "COFFER_ENV"] {
        assert!(set.contains(word), "{word}: {set}");
    }
    assert!(!set.contains("VALUE"), "the page offers a value that the command refuses: {set}");
    let missing = dir.path().join("missing");
    let ended = Launch::bare(dir.path()).argument("man").argument(&missing).run("");
    ended.refuses(1, ["cannot write to", "Create the directory first"]);
}

/// A page as `man` shows it.
fn shown(page: &Path) -> String {
    let output = Command::new("man")
        .args(["--warnings=all", "-E", "UTF-8", "-l"])
        .arg(page)
        .env("MANPAGER", "cat")
        .env("MANWIDTH", "200")
        .output()
        .unwrap();
    let complaints = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && complaints.is_empty(), "{}: {complaints}", page.display());
    let text = String::from_utf8(output.stdout).unwrap();
    // Bold is a letter printed twice; hyphens may be other characters.
    let mut plain = String::new();
    for c in text.chars() {
        match c {
            '\u{8}' => drop(plain.pop()),
            '\u{2010}' | '\u{2212}' => plain.push('-'),
            c => plain.push(c),
        }
    }
    plain
}
