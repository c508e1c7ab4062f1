//! `/api/docs`: the OpenAPI document as one plain page for people. The page loads nothing and runs
//! no script.

use std::fmt::Write;

use serde_json::Value;

use crate::http::openapi::document::TAGS;

const STYLE: &str = "\
:root{color-scheme:light dark;font:16px/1.5 system-ui,sans-serif}\
body{max-width:52rem;margin:2rem auto;padding:0 1rem}\
h2{margin-top:2.5rem;text-transform:capitalize}\
details{border:1px solid #8885;border-radius:.4rem;margin:.5rem 0;padding:.5rem .8rem}\
summary{cursor:pointer}\
code,pre{font:.875rem/1.45 ui-monospace,monospace}\
pre{overflow:auto;background:#8881;padding:.6rem;border-radius:.3rem}\
.method{display:inline-block;min-width:4rem;font-weight:600}\
table{border-collapse:collapse}td,th{padding:.15rem .9rem .15rem 0;text-align:left;vertical-align:top}\
.about{color:#888}";

/// Renders the page from the bytes of the OpenAPI document.
pub(in crate::http) fn render(document: &[u8]) -> String {
    let document = serde_json::from_slice(document).expect("the document is well-formed JSON");
    page(&document).expect("writing to a String does not fail")
}

fn page(document: &Value) -> Result<String, std::fmt::Error> {
    let mut page = String::new();
    let info = &document["info"];
    write!(
        page,
        "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">\
         <title>coffer API</title><style>{STYLE}</style></head><body>\
         <h1>coffer API <small class=\"about\">{}</small></h1><p>{}</p>\
         <p>For programs: <a href=\"/openapi.json\">/openapi.json</a>.</p>",
        escaped(&info["version"]),
        escaped(&info["description"]),
    )?;
    for (tag, what) in TAGS {
        write!(page, "<h2>{tag}</h2><p>{what}</p>")?;
        for (path, item) in members(&document["paths"]) {
            for (method, operation) in members(item) {
                if operation["tags"][0] == tag {
                    render_operation(&mut page, path, method, operation)?;
                }
            }
        }
    }
    page.push_str("<h2>schemas</h2>");
    for (name, schema) in members(&document["components"]["schemas"]) {
        let schema = serde_json::to_string_pretty(schema).unwrap_or_default();
        write!(
            page,
            "<details id=\"schema-{name}\"><summary><code>{name}</code></summary><pre>{}</pre></details>",
            escape(&schema)
        )?;
    }
    page.push_str("</body></html>\n");
    Ok(page)
}

fn render_operation(
    page: &mut String,
    path: &str,
    method: &str,
    operation: &Value,
) -> std::fmt::Result {
    write!(
        page,
        "<details><summary><code><span class=\"method\">{}</span>{}</code><br>{}</summary><table>",
        method.to_uppercase(),
        escape(path),
        escaped(&operation["summary"]),
    )?;
    for parameter in operation["parameters"].as_array().into_iter().flatten() {
        write!(
            page,
            "<tr><td><code>{}</code> <span class=\"about\">{}</span></td><td>{}</td></tr>",
            escaped(&parameter["name"]),
            escaped(&parameter["in"]),
            escaped(&parameter["description"]),
        )?;
    }
    let body = &operation["requestBody"]["content"]["application/json"]["schema"];
    if let Some(link) = schema_link(body) {
        write!(page, "<tr><td>Body</td><td>{link}</td></tr>")?;
    }
    for (status, response) in members(&operation["responses"]) {
        let link =
            schema_link(&response["content"]["application/json"]["schema"]).unwrap_or_default();
        let text = escaped(&response["description"]);
        write!(page, "<tr><td>{status}</td><td>{link} {text}</td></tr>")?;
    }
    page.push_str("</table></details>");
    Ok(())
}

fn schema_link(schema: &Value) -> Option<String> {
    let name = schema["$ref"].as_str()?.rsplit('/').next()?;
    Some(format!("<a href=\"#schema-{name}\"><code>{name}</code></a>"))
}

fn members(value: &Value) -> impl Iterator<Item = (&String, &Value)> {
    value.as_object().into_iter().flatten()
}

/// Renders text, with `code` between backticks.
fn escaped(value: &Value) -> String {
    let parts = value.as_str().unwrap_or_default().split('`').enumerate();
    let part = |(n, text): (usize, &str)| match n % 2 {
        0 => escape(text),
        _ => format!("<code>{}</code>", escape(text)),
    };
    parts.map(part).collect()
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
