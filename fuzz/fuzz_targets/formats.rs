//! The formats that `coffer import` reads, and templates. Every accepted input can be written, and
//! reads back the same. A template is rendered in one pass.
#![no_main]

use coffer::formats::{Format, Heading, InputFormat, Template, write};
use libfuzzer_sys::{arbitrary, fuzz_target};

#[derive(Debug, arbitrary::Arbitrary)]
enum Input<'a> {
    Any(&'a str),
    Of(u8, &'a str),
    Template(&'a str, &'a str),
}

fn read(source: InputFormat, text: &str) {
    let Ok(entries) = source.read(text) else { return };
    let list = entries.into_list();
    let pairs: Vec<_> =
        list.iter().map(|entry| (entry.key.as_str(), entry.value.as_str())).collect();
    let heading = Heading { comment: vec!["made".to_owned()], name: "fuzz" };
    for (format, back) in [(Format::Json, InputFormat::Json), (Format::Dotenv, InputFormat::Dotenv)] {
        let Ok(written) = write(format, &pairs, &heading) else { continue };
        let again = back.read(&written).unwrap_or_else(|_| panic!("{format:?} does not read back"));
        let again = again.into_list();
        assert_eq!(again.len(), list.len());
        for entry in &list {
            let same = again.iter().find(|other| other.key == entry.key);
            assert!(same.is_some_and(|other| other.value == entry.value), "{format:?} differs");
        }
    }
}

fuzz_target!(|input: Input<'_>| {
    match input {
        Input::Any(text) => {
            if let Some(source) = InputFormat::detect(text) {
                read(source, text);
            }
        }
        Input::Of(number, text) => {
            read(InputFormat::ALL[usize::from(number) % InputFormat::ALL.len()], text);
        }
        Input::Template(text, value) => {
            let Ok(template) = Template::parse(text) else { return };
            let keys = template.keys().len();
            // References inside a value are never expanded.
            let hostile = format!("${{A}}$${value}");
            let rendered = template.render(|_| Some(&hostile)).expect("every key has a value");
            assert!(rendered.matches(&hostile).count() >= keys);
            if template.needed().next().is_some() {
                assert!(template.render(|_| None).is_err());
            }
        }
    }
});
