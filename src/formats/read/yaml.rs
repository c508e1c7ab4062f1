//! Reading YAML: one mapping of keys to scalars.
//!
//! A scalar is taken as it is written, quoted or not: `5432`, `true` and `0o17` are strings, as
//! they are in an environment. Unquoted `null`, `~` and an empty scalar are refused, because they
//! mean that there is no value. Aliases, anchors, tags other than `!!str`, merge keys, lists and a
//! second document are refused, so the result is never larger than the text.
//!
//! Owns: the subset of YAML that is accepted.
//! Must never: expand anything, or pass on a message of the parser's, which may quote the text.
//! Called by: `detect`.

use saphyr_parser::{Event, Parser, ScalarStyle, Span, StrInput};
use zeroize::Zeroizing;

use crate::formats::read::entries::InputEntries;
use crate::formats::read::json::decoded;
use crate::formats::read::position::{BadInput, InputPosition};

/// The deepest nesting accepted: enough for `data` and `metadata.annotations` of a manifest.
const MAX_DEPTH: usize = 4;

/// A node of a document, with its line.
struct Node {
    line: usize,
    content: NodeContent,
}

enum NodeContent {
    Scalar { text: Zeroizing<String>, quoted: bool },
    Mapping(Vec<(Node, Node)>),
    Sequence,
}

impl Node {
    fn bad(&self, why: &'static str) -> BadInput {
        InputPosition::Line(self.line).bad(why)
    }

    fn pairs(&self) -> Result<&[(Node, Node)], BadInput> {
        match &self.content {
            NodeContent::Mapping(pairs) => Ok(pairs),
            _ => Err(self.bad("must be a mapping of keys to strings")),
        }
    }

    fn text(&self) -> Result<&Zeroizing<String>, BadInput> {
        match &self.content {
            NodeContent::Scalar { text, quoted } => {
                let null = ["", "~", "null", "Null", "NULL"];
                if !quoted && null.contains(&text.as_str()) {
                    return Err(self.bad("must be a string; quote it if that is what you mean"));
                }
                Ok(text)
            }
            _ => Err(self.bad("must be a string, not a list or a mapping")),
        }
    }
}

/// Reads the one mapping of a document; an empty document has no entries.
pub(super) fn mapping(text: &str) -> Result<InputEntries, BadInput> {
    let mut entries = InputEntries::default();
    if let Some(document) = document(text)? {
        add_all(&document, &mut entries, |text, _| Ok(text.clone()))?;
    }
    Ok(entries)
}

/// Reads a Secret manifest with either `data` or `stringData`.
pub(super) fn k8s_secret(text: &str) -> Result<InputEntries, BadInput> {
    let mut entries = InputEntries::default();
    let Some(document) = document(text)? else { return Ok(entries) };
    let pairs = document.pairs()?;
    let find = |name: &str| {
        let named = |(key, _): &&(Node, Node)| key.text().is_ok_and(|key| key.as_str() == name);
        pairs.iter().find(named).map(|(_, node)| node)
    };
    let (plain, encoded) = (find("stringData"), find("data"));
    if plain.is_some() && encoded.is_some() {
        return Err(document.bad("has both data and stringData; import them separately"));
    }
    if let Some(node) = plain {
        add_all(node, &mut entries, |text, _| Ok(text.clone()))?;
    }
    if let Some(node) = encoded {
        add_all(node, &mut entries, |text, position| decoded(text, position))?;
    }
    Ok(entries)
}

fn add_all(
    node: &Node,
    entries: &mut InputEntries,
    value: impl Fn(&Zeroizing<String>, &InputPosition) -> Result<Zeroizing<String>, BadInput>,
) -> Result<(), BadInput> {
    for (key, node) in node.pairs()? {
        let value = value(node.text()?, &InputPosition::Line(node.line))?;
        entries.add(InputPosition::Line(key.line), key.text()?, value)?;
    }
    Ok(())
}

/// Parses the only document of a stream; `None` if it is empty.
fn document(text: &str) -> Result<Option<Node>, BadInput> {
    let mut events = Events { parser: Parser::new_from_str(text), line: 1 };
    let mut found = None;
    loop {
        match events.next()? {
            Event::StreamEnd => return Ok(found),
            Event::DocumentStart(_) if found.is_some() => {
                return Err(InputPosition::Line(events.line)
                    .bad("a second document starts here; import one document at a time"));
            }
            Event::StreamStart | Event::DocumentStart(_) | Event::DocumentEnd | Event::Nothing => {}
            event => found = Some(events.node(event, 0)?),
        }
    }
}

/// The events of the parser, with the line of the last one.
struct Events<'a> {
    parser: Parser<'a, StrInput<'a>>,
    line: usize,
}

impl<'a> Events<'a> {
    fn next(&mut self) -> Result<Event<'a>, BadInput> {
        match self.parser.next_event() {
            Some(Ok((event, Span { start, .. }))) => {
                self.line = start.line().max(1);
                Ok(event)
            }
            // The parser's message is left out: it may quote the text.
            Some(Err(error)) => {
                Err(InputPosition::Line(error.marker().line().max(1)).bad("invalid YAML"))
            }
            None => Ok(Event::StreamEnd),
        }
    }

    /// Parses the node that starts with this event.
    fn node(&mut self, event: Event<'a>, depth: usize) -> Result<Node, BadInput> {
        let line = self.line;
        let bad = |why| Err(InputPosition::Line(line).bad(why));
        let content = match event {
            Event::Alias(_) => return bad("aliases are not supported; write out the value"),
            Event::Scalar(_, _, anchor, _) if anchor != 0 => return bad(ANCHOR),
            Event::MappingStart(anchor, _) | Event::SequenceStart(anchor, _) if anchor != 0 => {
                return bad(ANCHOR);
            }
            Event::Scalar(text, style, _, tag) => {
                if tag.is_some_and(|tag| !(tag.is_yaml_core_schema() && tag.suffix == "str")) {
                    return bad("tags other than !!str are not supported");
                }
                let text = Zeroizing::new(text.into_owned());
                NodeContent::Scalar { text, quoted: style != ScalarStyle::Plain }
            }
            Event::MappingStart(..) | Event::SequenceStart(..) if depth == MAX_DEPTH => {
                return bad("nested too deeply");
            }
            Event::MappingStart(..) => {
                let mut pairs = Vec::new();
                loop {
                    let key = match self.next()? {
                        Event::MappingEnd => break NodeContent::Mapping(pairs),
                        event => self.node(event, depth + 1)?,
                    };
                    let value = self.next()?;
                    pairs.push((key, self.node(value, depth + 1)?));
                }
            }
            Event::SequenceStart(..) => loop {
                match self.next()? {
                    Event::SequenceEnd => break NodeContent::Sequence,
                    event => drop(self.node(event, depth + 1)?),
                }
            },
            _ => return bad("invalid YAML"),
        };
        Ok(Node { line, content })
    }
}

const ANCHOR: &str = "anchors are not supported; write out the value";

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(read: fn(&str) -> Result<InputEntries, BadInput>, text: &str) -> String {
        read(text).map_or_else(|bad| format!("! {bad}"), |entries| entries.to_line())
    }

    #[test]
    fn mappings_of_strings() {
        let text = "%YAML 1.2\n---\n# c\nPORT: 5432\n\"NO\": yes\nF: 1.10\nQ: 'it''s'\nB: |\n  a\n  b\nE: \"\"\nT: !!str x\n...\n";
        assert_eq!(shown(mapping, text), "PORT=5432 NO=yes F=1.10 Q=it's B=a\nb\n E= T=x");
        assert_eq!(
            shown(mapping, "{A: x, \"B\": \"y\\x85\\u2028\\U0001FFFE\"}"),
            "A=x B=y\u{85}\u{2028}\u{1fffe}"
        );
        assert_eq!(shown(mapping, ""), "");
        assert_eq!(shown(mapping, "# nothing"), "");
    }

    #[test]
    fn anything_but_a_mapping_of_strings_is_refused_with_its_line() {
        let bad = [
            ("A: 1\nB:", "! line 2: must be a string; quote"),
            ("A: ~", "! line 1: must be a string; quote"),
            ("A: null", "! line 1: must be a string; quote"),
            ("A:\n  B: canary", "! line 2: must be a string, not"),
            ("A: [canary]", "! line 1: must be a string, not"),
            ("- canary", "! line 1: must be a mapping"),
            ("canary", "! line 1: must be a mapping"),
            ("A: &x canary\nB: *x", "! line 1: anchors"),
            ("A: *x", "! line 1: "),
            ("A: !!binary canary", "! line 1: tags"),
            ("A: !canary x", "! line 1: tags"),
            ("A: 1\n---\nB: canary", "! line 2: a second document"),
            ("A: 1\nA: canary", "! line 2: duplicate key"),
            ("canary: 1", "! line 1: the key must be"),
            ("<<: {A: canary}", "! line 1: must be a string, not"),
            ("A: \"canary", "! line "),
            ("? [canary]\n: x", "! line 1: must be a string"),
        ];
        for (text, begins) in bad {
            let said = shown(mapping, text);
            assert!(said.starts_with(begins) && !said.contains("canary"), "{text:?}: {said}");
        }
        let deep = format!("A: {}", "[".repeat(100_000));
        assert!(shown(mapping, &deep).starts_with("! line 1: "));
    }

    #[test]
    fn kubernetes_manifests() {
        let data = "kind: Secret\nmetadata:\n  name: x\n  labels: {a: b}\ndata:\n  A: eA==\n";
        assert_eq!(shown(k8s_secret, data), "A=x");
        assert_eq!(shown(k8s_secret, "stringData: {A: x}"), "A=x");
        assert!(shown(k8s_secret, "data: {A: eA==}\nstringData: {A: x}").contains("both"));
        assert!(shown(k8s_secret, "data: {A: '?'}").contains("base64"));
    }
}
