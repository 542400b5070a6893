//! What came from the server, for people.

use crate::json::{Json, Raw};
use crate::remote::client::parse;
use crate::remote::screen::{Style, harmless};

/// An answer.
pub(super) fn answer(text: &str, style: Style) -> String {
    let Some(message) = parse(text) else { return harmless(text) };
    let part = |name: &str| message.get(name).and_then(Raw::as_str).unwrap_or_default();
    if part("type") == "error" {
        let line = format!("{}: {}", part("code"), part("message"));
        let mut shown = style.red(&harmless(&line));
        if let Some(details) = message.get("details") {
            shown.push('\n');
            shown.push_str(&pretty(details, style));
        }
        return shown;
    }
    message.get("data").map_or_else(|| "null".to_owned(), |data| pretty(data, style))
}

fn pretty(value: Raw<'_>, style: Style) -> String {
    harmless(&value.to_json().to_pretty(style.width))
}

fn one_line(value: Option<&Json>) -> String {
    harmless(&value.unwrap_or(&Json::Null).to_pretty(usize::MAX))
}

/// A push of a subscription that was started under `name`, or what the server
/// says of itself.
pub(super) fn push(text: &str, name: impl Fn(&str) -> Option<String>, style: Style) -> String {
    let Some(message) = parse(text) else { return harmless(text) };
    let message = message.to_json();
    let part = |name: &str| message.get(name).and_then(Json::as_str).unwrap_or_default();
    if part("type") != "push" {
        return style.yellow(&harmless(&message.to_pretty(style.width)));
    }
    let subscription = part("subscriptionId");
    let name = name(subscription).unwrap_or_else(|| subscription.to_owned());
    let name = style.cyan(&harmless(&name));
    let data = message.get("data").unwrap_or(&Json::Null);
    if part("channel") == "event" {
        let topic = data.get("topic").and_then(Json::as_str).unwrap_or_default();
        let event = data.get("event").unwrap_or(&Json::Null);
        let content = event.get("data").unwrap_or(event);
        return format!("{name}: {} {}", style.bold(&harmless(topic)), one_line(Some(content)));
    }
    match changes(data, style) {
        Some(lines) => {
            let lines: Vec<String> = lines.iter().map(|line| format!("{name}: {line}")).collect();
            lines.join("\n")
        }
        None => format!("{name}: {}", harmless(&data.to_pretty(style.width))),
    }
}

/// What a push in delta mode changes, a line each; `None`: it is none.
fn changes(data: &Json, style: Style) -> Option<Vec<String>> {
    data.get("seq")?;
    if let Some(reason) = data.get("closed").and_then(Json::as_str) {
        return Some(vec![style.yellow(&format!("ended: {}", harmless(reason)))]);
    }
    if data.get("reset").is_some() {
        let all = data.get("data").or_else(|| data.get("value"));
        return Some(vec![format!("= {}", one_line(all))]);
    }
    if let Some(value) = data.get("value") {
        return Some(vec![format!("= {}", one_line(Some(value)))]);
    }
    let entries = |name: &str| data.get(name).and_then(Json::as_array).unwrap_or_default();
    let removed = entries("removed").iter();
    let removed = removed.map(|key| style.red(&format!("- {}", one_line(Some(key)))));
    let added = entries("added").iter();
    let added = added.map(|entry| style.green(&format!("+ {}", one_line(entry.get("row")))));
    let changed = entries("changed").iter();
    let changed = changed.map(|entry| style.yellow(&format!("~ {}", one_line(entry.get("row")))));
    Some(removed.chain(added).chain(changed).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    const STYLE: Style = Style { colors: false, width: 60 };

    #[test]
    fn answers() {
        let shown = |text: &str| answer(text, STYLE);
        assert_eq!(shown(r#"{"id":1,"type":"result","data":{"a":1}}"#), r#"{"a": 1}"#);
        assert_eq!(shown(r#"{"id":1,"type":"result"}"#), "null");
        assert_eq!(
            shown(r#"{"id":1,"type":"error","code":"NOT_FOUND","message":"no \u001b[31m"}"#),
            "NOT_FOUND: no \\u001b[31m"
        );
        let details = r#"{"type":"error","code":"C","message":"m","details":{"a":1}}"#;
        assert_eq!(shown(details), "C: m\n{\"a\": 1}");
        let colors = Style { colors: true, ..STYLE };
        assert_eq!(answer(details, colors), "\x1b[31mC: m\x1b[0m\n{\"a\": 1}");
    }

    #[test]
    fn pushes() {
        let name = |id: &str| (id == "sub-1").then(|| "hot".to_owned());
        let shown = |data: &str| {
            let text = format!(
                r#"{{"type":"push","channel":"subscription","subscriptionId":"sub-1","data":{data}}}"#
            );
            push(&text, name, STYLE)
        };
        assert_eq!(
            shown(
                r#"{"seq":1,"removed":["a",2],"added":[{"key":3,"at":0,"row":{"id":3}}],
                   "changed":[{"key":4,"row":{"id":4,"n":1}}]}"#
            ),
            "hot: - \"a\"\nhot: - 2\nhot: + {\"id\": 3}\nhot: ~ {\"id\": 4, \"n\": 1}"
        );
        assert_eq!(shown(r#"{"seq":1,"value":7}"#), "hot: = 7");
        assert_eq!(shown(r#"{"seq":1,"reset":true,"keys":[],"data":[]}"#), "hot: = []");
        assert_eq!(shown(r#"{"seq":1,"closed":"bucketDropped"}"#), "hot: ended: bucketDropped");
        assert_eq!(shown(r#"[{"id":1}]"#), "hot: [{\"id\": 1}]");
        let event = r#"{"type":"push","channel":"event","subscriptionId":"sub-2",
            "data":{"topic":"a.b","event":{"data":{"x":1}}}}"#;
        assert_eq!(push(event, name, STYLE), "sub-2: a.b {\"x\": 1}");
        let system = r#"{"type":"system","event":"shutdown"}"#;
        assert_eq!(push(system, name, STYLE), "{\"type\": \"system\", \"event\": \"shutdown\"}");
    }
}
