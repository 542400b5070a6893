//! `noexd top`: who and what keeps a server busy, now.

mod live;
mod page;
mod table;
mod terminal;

use std::ffi::OsString;
use std::io::IsTerminal as _;
use std::time::Duration;

use getopts::{HasArg, Occur};

use super::access::{self, Access};
use super::client::Client;
use super::{Failure, screen};
use crate::json::{Json, Object};
use crate::protocol::Operation;
use page::{Page, Sorts};

const HELP: &str = "\
Show who and what keeps a server busy: its connections, live views and insights.

  noexd top [--once] [--json] [--interval SECONDS]

Needs an account with level admin where the server has accounts.

  --once               print it once and end
  --json               print an object per interval: top, views, insights
  --interval SECONDS   time between two looks (2)

Keys: c connections, v views, i insights, s sorts by the next column, arrows
select, t traces what is selected, d disconnects it (asks first), q ends.

";

/// An answer that takes longer is none.
const PATIENCE: Duration = Duration::from_secs(30);

/// Rows that are asked for.
const ROWS: f64 = 200.0;

/// What `noexd top --help` prints.
pub fn help() -> String {
    format!("{HELP}{}", access::HELP)
}

/// Runs it with a command line without `noexd top`.
///
/// # Errors
///
/// See [`Failure`].
pub fn run(args: &[OsString]) -> Result<(), Failure> {
    let mut parser = getopts::Options::new();
    access::add_flags(&mut parser);
    parser.opt("", "once", "", "", HasArg::No, Occur::Optional);
    parser.opt("", "json", "", "", HasArg::No, Occur::Optional);
    parser.opt("", "interval", "", "", HasArg::Yes, Occur::Optional);
    let matches = parser.parse(args).map_err(|fail| Failure::Usage(fail.to_string()))?;
    if let Some(word) = matches.free.first() {
        return Err(Failure::Usage(format!("unexpected argument \"{word}\"")));
    }
    let interval = interval(matches.opt_str("interval").as_deref()).map_err(Failure::Usage)?;
    let (once, json) = (matches.opt_present("once"), matches.opt_present("json"));
    let is_terminal = std::io::stdin().is_terminal() && screen::is_terminal();
    if !once && !json && !is_terminal {
        return Err(Failure::Usage("this is no terminal: use --once or --json".into()));
    }
    let access = Access::of(&matches, |name| std::env::var(name).ok()).map_err(Failure::Usage)?;
    if !once && !json {
        return live::run(&access, interval);
    }
    let mut client = access.connect("noexd-top", |_| {})?;
    loop {
        let look = Look::take(&mut client, &Sorts::default())?;
        let text = match json {
            true => look.json(),
            false => look.text(&access.target.to_string()),
        };
        screen::write(&text).map_err(|_| Failure::Unread)?;
        if once {
            return Ok(());
        }
        std::thread::sleep(interval);
    }
}

/// Between a tenth of a second and an hour.
fn interval(text: Option<&str>) -> Result<Duration, String> {
    let Some(text) = text else { return Ok(Duration::from_secs(2)) };
    let seconds = text.parse().ok().filter(|seconds: &f64| (0.1..=3600.0).contains(seconds));
    let wrong = || format!("--interval: expected seconds, 0.1 to 3600, got \"{text}\"");
    seconds.map(Duration::from_secs_f64).ok_or_else(wrong)
}

/// What the server says of itself at one moment.
#[derive(Debug, Default)]
struct Look {
    top: Json,
    views: Json,
    insights: Json,
}

impl Look {
    fn take(client: &mut Client, sorts: &Sorts) -> Result<Look, Failure> {
        let mut ask = |operation: Operation, sort: Option<&str>| {
            let mut fields = Object::new();
            if let Some(sort) = sort {
                fields.insert("sort", Json::from(sort));
                fields.insert("limit", Json::Number(ROWS));
            }
            client.call_within((operation.name(), fields), Some(PATIENCE))?.data()
        };
        Ok(Look {
            top: ask(Operation::ServerTop, Some(sorts.connections()))?,
            views: ask(Operation::ServerViews, Some(sorts.views()))?,
            insights: ask(Operation::ServerInsights, None)?,
        })
    }

    fn json(self) -> String {
        let mut object = Object::new();
        object.insert("top", self.top);
        object.insert("views", self.views);
        object.insert("insights", self.insights);
        Json::Object(object).to_text() + "\n"
    }

    /// All pages behind each other.
    fn text(&self, server: &str) -> String {
        let style = screen::Style::of_output();
        let mut lines = vec![page::head(self, server, style)];
        for one in [Page::Connections, Page::Views, Page::Insights] {
            lines.push(String::new());
            lines.push(one.title(&Sorts::default(), style));
            lines.extend(one.lines(self, style).into_iter().map(|line| line.trim_end().to_owned()));
        }
        lines.join("\n") + "\n"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn intervals() {
        assert_eq!(interval(None), Ok(Duration::from_secs(2)));
        assert_eq!(interval(Some("0.5")), Ok(Duration::from_millis(500)));
        for wrong in ["0", "x", "-1", "NaN", "inf", "3601", ""] {
            assert!(interval(Some(wrong)).is_err(), "{wrong}");
        }
    }
}
