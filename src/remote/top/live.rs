//! The pages on a terminal, until somebody has seen enough.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::page::{self, Page, Sorts};
use super::table::cut;
use super::terminal::{Key, Terminal};
use super::{Look, PATIENCE};
use crate::json::{Json, Object};
use crate::protocol::Operation;
use crate::remote::Failure;
use crate::remote::access::Access;
use crate::remote::client::{Answer, Client, Incoming, parse};
use crate::remote::screen::{self, Style, harmless};

/// Entries of a trace that are kept to be seen.
const TRACED: usize = 500;

/// How often the screen is drawn while entries may come.
const TRACE_PAUSE: Duration = Duration::from_millis(200);

type Entries = Arc<Mutex<VecDeque<String>>>;

/// What is on the screen.
#[derive(Debug)]
enum Mode {
    Pages,
    /// A question about a connection.
    Disconnect(String),
    /// What is traced, and the subscription.
    Trace {
        what: String,
        subscription: String,
    },
}

struct Live {
    client: Client,
    server: String,
    entries: Entries,
    style: Style,
    look: Look,
    page: Page,
    sorts: Sorts,
    selected: usize,
    mode: Mode,
    /// What came of the last key.
    note: String,
}

pub(super) fn run(access: &Access, interval: Duration) -> Result<(), Failure> {
    let entries = Entries::default();
    let told = Arc::clone(&entries);
    let handler = move |incoming: Incoming<'_>| {
        let Incoming::Push(text) = incoming else { return };
        let Some(message) = parse(text) else { return };
        let message = message.to_json();
        if message.get("channel").and_then(Json::as_str) == Some("trace") {
            let mut entries = told.lock().unwrap_or_else(PoisonError::into_inner);
            entries.push_back(page::traced(message.get("data").unwrap_or(&Json::Null)));
            while entries.len() > TRACED {
                entries.pop_front();
            }
        }
    };
    let mut client = access.connect("noexd-top", handler)?;
    let sorts = Sorts::default();
    // Before the screen is taken: who may not look is told so on the old one.
    let look = Look::take(&mut client, &sorts)?;
    let mut live = Live {
        client,
        server: access.target.to_string(),
        entries,
        style: Style::of_output(),
        look,
        page: Page::Connections,
        sorts,
        selected: 0,
        mode: Mode::Pages,
        note: String::new(),
    };
    let terminal = |error: std::io::Error| Failure::Usage(format!("the terminal: {error}"));
    let mut screen = Terminal::open().map_err(terminal)?;
    let mut next = Instant::now() + interval;
    loop {
        screen.draw(&live.lines()).map_err(terminal)?;
        let rest = next.saturating_duration_since(Instant::now());
        let pause = match live.mode {
            Mode::Trace { .. } => rest.min(TRACE_PAUSE),
            _ => rest,
        };
        match screen.key(pause).map_err(terminal)? {
            Some(Key::Gone) => return Ok(()),
            Some(key) if live.press(key)? => return Ok(()),
            Some(_) => {}
            None => {}
        }
        if Instant::now() >= next {
            live.refresh()?;
            next = Instant::now() + interval;
        }
    }
}

impl Live {
    fn refresh(&mut self) -> Result<(), Failure> {
        self.look = Look::take(&mut self.client, &self.sorts)?;
        self.selected = self.selected.min(self.page.count(&self.look).saturating_sub(1));
        Ok(())
    }

    /// `true`: that was enough.
    fn press(&mut self, key: Key) -> Result<bool, Failure> {
        self.note.clear();
        match std::mem::replace(&mut self.mode, Mode::Pages) {
            Mode::Disconnect(connection) if key == Key::Char('y') => {
                self.disconnect(&connection)?;
            }
            Mode::Disconnect(_) => self.note = "not disconnected".into(),
            Mode::Trace { subscription, .. }
                if matches!(key, Key::Escape | Key::Char('t' | 'q')) =>
            {
                let mut fields = Object::new();
                fields.insert("subscriptionId", Json::from(subscription));
                // It may have ended by itself.
                self.ask(Operation::ServerUntrace, fields)?;
            }
            trace @ Mode::Trace { .. } => self.mode = trace,
            Mode::Pages => return self.press_on_page(key),
        }
        Ok(false)
    }

    fn press_on_page(&mut self, key: Key) -> Result<bool, Failure> {
        match key {
            Key::Char('q') => return Ok(true),
            Key::Char('c') => self.turn_to(Page::Connections),
            Key::Char('v') => self.turn_to(Page::Views),
            Key::Char('i') => self.turn_to(Page::Insights),
            Key::Char('s') => {
                self.sorts.next(self.page);
                self.refresh()?;
            }
            Key::Up => self.selected = self.selected.saturating_sub(1),
            Key::Down => {
                let last = self.page.count(&self.look).saturating_sub(1);
                self.selected = (self.selected + 1).min(last);
            }
            Key::Char('d') => match self.page.connection(&self.look, self.selected) {
                Some(connection) => self.mode = Mode::Disconnect(connection),
                None => self.note = "d disconnects a connection: c shows them".into(),
            },
            Key::Char('t') => match self.page.traced(&self.look, self.selected) {
                Some((field, value)) => self.trace(field, &value)?,
                None => self.note = "t traces a connection or the bucket of a view".into(),
            },
            _ => {}
        }
        Ok(false)
    }

    fn turn_to(&mut self, page: Page) {
        (self.page, self.selected) = (page, 0);
    }

    fn disconnect(&mut self, connection: &str) -> Result<(), Failure> {
        let mut fields = Object::new();
        fields.insert("connectionId", Json::from(connection));
        self.note = match self.ask(Operation::ServerDisconnect, fields)? {
            Answer::Data(_) => format!("{connection} is disconnected"),
            Answer::Error { code, message } => format!("{code}: {message}"),
        };
        self.refresh()
    }

    fn trace(&mut self, field: &str, value: &str) -> Result<(), Failure> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner).clear();
        let mut fields = Object::new();
        fields.insert(field, Json::from(value));
        match self.ask(Operation::ServerTrace, fields)? {
            Answer::Data(data) => {
                let subscription = data.get("subscriptionId").and_then(Json::as_str);
                let subscription = subscription.unwrap_or_default().to_owned();
                self.mode = Mode::Trace { what: format!("{field} {value}"), subscription };
            }
            Answer::Error { code, message } => self.note = format!("{code}: {message}"),
        }
        Ok(())
    }

    fn ask(&mut self, operation: Operation, fields: Object) -> Result<Answer, Failure> {
        Ok(self.client.call_within((operation.name(), fields), Some(PATIENCE))?.outcome())
    }

    /// The screen, cut to its size.
    fn lines(&self) -> Vec<String> {
        let (columns, rows) = screen::size();
        let (columns, rows) = (columns.unwrap_or(80), rows.unwrap_or(24));
        let plain = Style { colors: false, ..self.style };
        let mut lines = vec![cut(&page::head(&self.look, &self.server, plain), columns)];
        let foot = match &self.mode {
            Mode::Disconnect(connection) => format!("disconnect {connection}? y/n"),
            _ if !self.note.is_empty() => self.note.clone(),
            Mode::Trace { .. } => "t, Esc ends the trace".into(),
            Mode::Pages => {
                "c connections  v views  i insights  s sort  t trace  d disconnect  q quit".into()
            }
        };
        let room = rows.saturating_sub(4);
        match &self.mode {
            Mode::Trace { what, .. } => {
                lines.push(self.style.cyan(&cut(&harmless(&format!("Trace of {what}")), columns)));
                let entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
                let newest = entries.iter().skip(entries.len().saturating_sub(room));
                lines.extend(newest.map(|line| cut(line, columns)));
            }
            _ => {
                lines.push(self.page.title(&self.sorts, self.style));
                lines.extend(self.page_lines(room, columns));
            }
        }
        lines.resize(rows.saturating_sub(1), String::new());
        lines.push(self.style.bold(&cut(&harmless(&foot), columns)));
        lines
    }

    /// As much of the page as there is room for, with the selected row in it.
    fn page_lines(&self, room: usize, columns: usize) -> Vec<String> {
        let plain = Style { colors: false, ..self.style };
        let all = self.page.lines(&self.look, plain);
        let mut all = all.iter().map(|line| cut(line, columns));
        if self.page.count(&self.look) == 0 {
            return all.take(room).collect();
        }
        let mut lines: Vec<String> =
            all.next().map(|head| self.style.bold(&head)).into_iter().collect();
        let room = room.saturating_sub(1).max(1);
        let from = (self.selected + 1).saturating_sub(room);
        for (at, line) in all.enumerate().skip(from).take(room) {
            // Shown without colors, too.
            let is_selected = at == self.selected;
            lines.push(if is_selected { format!("\x1b[7m{line}\x1b[0m") } else { line });
        }
        lines
    }
}
