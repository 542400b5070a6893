//! Text on a terminal, or wherever standard output leads.

use std::io::{self, IsTerminal as _, Write as _};

/// What may be done to a text besides showing it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Style {
    pub colors: bool,
    pub width: usize,
}

/// Widths for when nobody says one.
const WIDTH: usize = 100;

impl Style {
    /// For standard output as it is now.
    pub fn of_output() -> Style {
        let (columns, _) = size();
        Style { colors: is_terminal() && !is_set("NO_COLOR"), width: columns.unwrap_or(WIDTH) }
    }

    pub fn red(self, text: &str) -> String {
        self.painted("31", text)
    }

    pub fn green(self, text: &str) -> String {
        self.painted("32", text)
    }

    pub fn yellow(self, text: &str) -> String {
        self.painted("33", text)
    }

    pub fn cyan(self, text: &str) -> String {
        self.painted("36", text)
    }

    pub fn bold(self, text: &str) -> String {
        self.painted("1", text)
    }

    fn painted(self, code: &str, text: &str) -> String {
        if self.colors { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }
}

/// There and not empty, as <https://no-color.org> has it.
fn is_set(name: &str) -> bool {
    std::env::var_os(name).is_some_and(|value| !value.is_empty())
}

pub(super) fn is_terminal() -> bool {
    io::stdout().is_terminal()
}

/// Columns and rows of standard output, where it is a terminal.
pub(super) fn size() -> (Option<usize>, Option<usize>) {
    let known = |number: u16| (number > 0).then_some(usize::from(number));
    match rustix::termios::tcgetwinsize(io::stdout()) {
        Ok(size) => (known(size.ws_col), known(size.ws_row)),
        Err(_) => (None, None),
    }
}

/// What data cannot move a cursor with. The escapes are JSON's.
pub(super) fn harmless(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\n' => safe.push('\n'),
            c if c.is_control() => safe.push_str(&format!("\\u{:04x}", u32::from(c))),
            c => safe.push(c),
        }
    }
    safe
}

/// Writes at once.
pub(super) fn write(text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes()).and_then(|()| out.flush())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn data_does_not_steer_the_terminal() {
        assert_eq!(harmless("a\u{1b}[2J\u{9b}1m\n\u{7f}é"), "a\\u001b[2J\\u009b1m\n\\u007fé");
    }

    #[test]
    fn colors_are_for_those_who_see_them() {
        let style = |colors| Style { colors, width: 80 };
        assert_eq!(style(true).red("x"), "\x1b[31mx\x1b[0m");
        assert_eq!(style(false).red("x"), "x");
    }
}
