//! Rows under headings, and numbers as people read them.

use crate::json::Json;
use crate::remote::screen::harmless;

/// A column: its heading, and the text of a row.
pub(super) type Column = (&'static str, fn(&Json) -> String);

/// Longest text of a cell.
const LONGEST: usize = 30;

/// A line per row, the headings first.
pub(super) fn table(columns: &[Column], rows: &[Json]) -> Vec<String> {
    let mut lines = vec![columns.iter().map(|(name, _)| (*name).to_owned()).collect()];
    lines.extend(rows.iter().map(|row| -> Vec<String> {
        columns.iter().map(|(_, text)| cut(&harmless(&text(row)), LONGEST)).collect()
    }));
    let width = |column: usize| {
        let cells = lines.iter().filter_map(|line| line.get(column));
        cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..columns.len()).map(width).collect();
    let line = |cells: &Vec<String>| {
        let cells = cells.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}"));
        cells.collect::<Vec<_>>().join("  ")
    };
    lines.iter().map(line).collect()
}

/// At most so many characters.
pub(super) fn cut(text: &str, most: usize) -> String {
    if text.chars().count() <= most {
        return text.to_owned();
    }
    let start = text.chars().take(most.saturating_sub(1));
    start.chain(std::iter::once('…')).collect()
}

/// A member as text; nothing for what is not there.
pub(super) fn text(row: &Json, name: &str) -> String {
    match row.get(name) {
        None | Some(Json::Null) => "-".into(),
        Some(Json::String(text)) => text.to_string(),
        Some(Json::Array(elements)) => {
            let texts = elements.iter().map(|e| e.as_str().unwrap_or_default());
            texts.collect::<Vec<_>>().join(",")
        }
        Some(other) => other.to_text(),
    }
}

pub(super) fn number(row: &Json, name: &str) -> Option<f64> {
    row.get(name).and_then(Json::as_number)
}

pub(super) fn bytes(bytes: Option<f64>) -> String {
    const UNITS: [&str; 5] = ["", "K", "M", "G", "T"];
    let Some(mut amount) = bytes else { return "-".into() };
    let mut unit = 0;
    while amount >= 1024.0 && unit + 1 < UNITS.len() {
        amount /= 1024.0;
        unit += 1;
    }
    let unit = UNITS.get(unit).copied().unwrap_or_default();
    if unit.is_empty() || amount >= 100.0 {
        format!("{amount:.0}{unit}")
    } else {
        format!("{amount:.1}{unit}")
    }
}

/// From microseconds.
pub(super) fn time(micros: Option<f64>) -> String {
    match micros {
        None => "-".into(),
        Some(micros) if micros < 1_000.0 => format!("{micros:.0}us"),
        Some(micros) if micros < 1_000_000.0 => format!("{:.1}ms", micros / 1e3),
        Some(micros) if micros < 120_000_000.0 => format!("{:.1}s", micros / 1e6),
        Some(micros) => format!("{:.0}min", micros / 6e7),
    }
}

/// Of 1.
pub(super) fn percent(share: Option<f64>) -> String {
    share.map_or_else(|| "-".into(), |share| format!("{:.1}%", share * 100.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_short() {
        let of = |bytes: &[f64]| -> Vec<String> {
            bytes.iter().map(|amount| super::bytes(Some(*amount))).collect()
        };
        assert_eq!(
            of(&[0.0, 1023.0, 1024.0, 2e6, 1e9, 1e18]),
            ["0", "1023", "1.0K", "1.9M", "954M", "909495T"]
        );
        let of = |micros: &[f64]| -> Vec<String> {
            micros.iter().map(|amount| time(Some(*amount))).collect()
        };
        assert_eq!(of(&[7.0, 1500.0, 2.5e6, 6e8]), ["7us", "1.5ms", "2.5s", "10min"]);
        assert_eq!(percent(Some(0.123)), "12.3%");
        assert_eq!(
            (super::bytes(None), time(None), percent(None)),
            ("-".into(), "-".into(), "-".into())
        );
    }

    #[test]
    fn columns_are_as_wide_as_they_must_be() {
        let row = |name: &str| {
            let mut row = crate::json::Object::new();
            row.insert("n", Json::from(name));
            Json::Object(row)
        };
        let columns: [Column; 2] = [("NAME", |row| text(row, "n")), ("X", |row| text(row, "x"))];
        let rows = [row("a\u{1b}[1m"), row(&"long".repeat(20))];
        assert_eq!(
            table(&columns, &rows),
            [
                format!("{:<30}  X", "NAME"),
                format!("{:<30}  -", "a\\u001b[1m"),
                format!("{}…  -", &"long".repeat(20)[..29]),
            ]
        );
    }
}
