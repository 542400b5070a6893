//! What a shell knows and does between its lines.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::line::{self, Line, short, usage};
use super::printer::Printer;
use super::show;
use crate::json::{Json, Object, Raw};
use crate::protocol::{Family, Operation};
use crate::remote::Failure;
use crate::remote::access::Access;
use crate::remote::client::{Answer, Client, Incoming, parse, request};
use crate::remote::screen::{self, Style, harmless};

/// What is asked for a completion is not waited for any longer.
const GLANCE: Duration = Duration::from_secs(2);

/// What the server answers to a message that it cannot read.
const NO_ID: &str = "0";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Flow {
    GoOn,
    Quit,
}

/// What is watched: under which name, and how it is ended.
#[derive(Clone, Debug)]
struct Watch {
    name: String,
    undo: Operation,
}

/// Where text goes.
#[derive(Clone, Debug)]
pub(super) enum Output {
    /// Standard output, errors that are answers to standard error.
    Direct,
    /// Whoever prints above the line that is edited.
    Above(Printer),
}

/// What the thread that reads has to know.
#[derive(Debug)]
struct Shared {
    output: Output,
    style: Style,
    json: bool,
    /// Ids of requests whose answers are to be seen.
    shown: HashSet<String>,
    /// Those that start to watch.
    starting: HashMap<String, Watch>,
    /// By the id of the subscription.
    watched: HashMap<String, Watch>,
    /// Whether it is no news when the connection ends.
    is_closing: bool,
    is_unread: bool,
}

impl Shared {
    fn print(&mut self, text: &str) {
        let line = format!("{text}\n");
        let printed = match &self.output {
            Output::Direct => screen::write(&line).is_ok(),
            Output::Above(printer) => printer.print(line),
        };
        self.is_unread |= !printed;
    }

    fn complain(&mut self, text: &str) {
        match self.output {
            Output::Direct => crate::logging::say(&format!("{text}\n")),
            Output::Above(_) => self.print(text),
        }
    }

    fn incoming(&mut self, incoming: Incoming<'_>) {
        match incoming {
            Incoming::Answer { id, text } => self.answer(id, text),
            Incoming::Push(text) if self.json => self.print(text),
            Incoming::Push(text) => {
                let name = |id: &str| self.watched.get(id).map(|watch| watch.name.clone());
                let shown = show::push(text, name, self.style);
                self.print(&shown);
            }
            Incoming::Ended(reason) => {
                self.watched.clear();
                if let (Output::Above(_), false) = (&self.output, self.is_closing) {
                    let text = format!("{}; the next line connects again", harmless(reason));
                    let text = self.style.yellow(&text);
                    self.print(&text);
                }
            }
        }
    }

    fn answer(&mut self, id: &str, text: &str) {
        let started = self.starting.remove(id);
        if !self.shown.remove(id) && id != NO_ID {
            return;
        }
        let message = parse(text);
        let data = message.and_then(|message| message.get("data"));
        let subscription = data.and_then(|data| data.get("subscriptionId")).and_then(Raw::as_str);
        let shown = match (started, subscription) {
            (Some(watch), Some(subscription)) => {
                let mut shown = format!("{} is {subscription}", harmless(&watch.name));
                if let Some(data) = data.and_then(|data| data.get("data")) {
                    shown.push('\n');
                    shown.push_str(&harmless(&data.to_json().to_pretty(self.style.width)));
                }
                self.watched.insert(subscription.into_owned(), watch);
                shown
            }
            _ => show::answer(text, self.style),
        };
        let is_error = message.and_then(|message| message.get("code")).is_some();
        match (self.json, is_error) {
            (true, _) => self.print(text),
            (false, true) => self.complain(&shown),
            (false, false) => self.print(&shown),
        }
    }
}

/// A connection that is made again when it was lost, and what is going on there.
#[derive(Debug)]
pub(super) struct Session {
    access: Access,
    client: Option<Client>,
    shared: Arc<Mutex<Shared>>,
}

impl Session {
    pub fn new(access: Access, json: bool) -> Self {
        let shared = Shared {
            output: Output::Direct,
            style: super::style(),
            json,
            shown: HashSet::new(),
            starting: HashMap::new(),
            watched: HashMap::new(),
            is_closing: false,
            is_unread: false,
        };
        Session { access, client: None, shared: Arc::new(Mutex::new(shared)) }
    }

    fn shared(&self) -> MutexGuard<'_, Shared> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// From now on text goes there.
    pub fn print_to(&self, output: Output) {
        self.shared().output = output;
    }

    pub fn server(&self) -> String {
        self.access.target.to_string()
    }

    pub fn connect(&mut self) -> Result<(), Failure> {
        let shared = Arc::clone(&self.shared);
        let handler = move |incoming: Incoming<'_>| {
            shared.lock().unwrap_or_else(PoisonError::into_inner).incoming(incoming);
        };
        self.client = Some(self.access.connect("noexd-shell", handler)?);
        Ok(())
    }

    /// The connection, if need be a new one.
    fn client(&mut self) -> Result<&mut Client, Failure> {
        if self.client.as_mut().is_none_or(Client::has_ended) {
            self.client = None;
            self.connect()?;
        }
        match &mut self.client {
            Some(client) => Ok(client),
            None => Err(Failure::Unreachable("there is no connection".into())),
        }
    }

    /// Does what a line asks for.
    ///
    /// # Errors
    ///
    /// The line is wrong, an answer is an error, or the connection is lost.
    pub fn execute(&mut self, line: &str) -> Result<Flow, Failure> {
        match line::parse(line).map_err(Failure::Refused)? {
            Line::Nothing => {}
            Line::Quit => return Ok(Flow::Quit),
            Line::Json => {
                let mut shared = self.shared();
                shared.json = !shared.json;
                let text = if shared.json { "messages as they are" } else { "messages for people" };
                shared.print(text);
            }
            Line::Help(about) => {
                let text = help(about.as_deref()).map_err(Failure::Refused)?;
                self.shared().print(&text);
            }
            Line::Raw { text, has_id } => self.raw(&text, has_id)?,
            Line::Call { operation, fields } => self.call(operation, &fields, None)?,
            Line::Watch { query, params } => {
                let mut fields = Object::new();
                fields.insert("query", Json::from(query.as_str()));
                fields.insert("mode", Json::from("delta"));
                if let Some(params) = params {
                    fields.insert("params", params);
                }
                let watch = Watch { name: query, undo: Operation::StoreUnsubscribe };
                self.call(Operation::StoreSubscribe, &fields, Some(watch))?;
            }
            Line::Events { pattern } => {
                let mut fields = Object::new();
                fields.insert("pattern", Json::from(pattern.as_str()));
                let watch = Watch { name: pattern, undo: Operation::RulesUnsubscribe };
                self.call(Operation::RulesSubscribe, &fields, Some(watch))?;
            }
            Line::Unwatch(what) => self.unwatch(what.as_deref())?,
        }
        match self.shared().is_unread {
            true => Err(Failure::Unread),
            false => Ok(Flow::GoOn),
        }
    }

    fn call(
        &mut self,
        operation: Operation,
        fields: &Object,
        watch: Option<Watch>,
    ) -> Result<(), Failure> {
        let id = self.client()?.new_id();
        let text = request(id, operation.name(), fields);
        self.ask(&text, &id.to_string(), watch)
    }

    fn raw(&mut self, text: &str, has_id: bool) -> Result<(), Failure> {
        let message = parse(text).unwrap_or(Raw::EMPTY_OBJECT);
        if message.get("type").and_then(Raw::as_str).as_deref() == Some("pong") {
            // The one message that is not answered.
            return self.client()?.send(text);
        }
        if has_id {
            // As the server writes it.
            let id = message.get("id").and_then(Raw::as_number);
            let id = id.map_or_else(|| NO_ID.to_owned(), |id| Json::Number(id).to_text());
            return self.ask(text, &id, None);
        }
        let id = self.client()?.new_id();
        let rest = text.strip_prefix('{').unwrap_or_default().trim_start();
        let comma = if rest.starts_with('}') { "" } else { "," };
        self.ask(&format!("{{\"id\":{id}{comma}{rest}"), &id.to_string(), None)
    }

    /// Sends, and waits until the answer has been shown.
    fn ask(&mut self, text: &str, id: &str, watch: Option<Watch>) -> Result<(), Failure> {
        {
            let mut shared = self.shared();
            shared.shown.insert(id.to_owned());
            if let Some(watch) = watch {
                shared.starting.insert(id.to_owned(), watch);
            }
        }
        let client = self.client()?;
        client.send(text)?;
        let answer = client.wait(&[id, NO_ID], None)?;
        self.shared().shown.remove(id);
        match answer.outcome() {
            Answer::Data(_) => Ok(()),
            Answer::Error { .. } => Err(Failure::Told),
        }
    }

    fn unwatch(&mut self, what: Option<&str>) -> Result<(), Failure> {
        let is_meant =
            |id: &str, watch: &Watch| what.is_none_or(|what| what == id || what == watch.name);
        let shared = self.shared();
        let meant = shared.watched.iter().filter(|(id, watch)| is_meant(id, watch));
        let meant: Vec<(String, Operation)> =
            meant.map(|(id, watch)| (id.clone(), watch.undo)).collect();
        drop(shared);
        if meant.is_empty() {
            let text = what.map_or_else(
                || "nothing is watched".to_owned(),
                |what| format!("\"{what}\" is not watched"),
            );
            return Err(Failure::Refused(text));
        }
        for (id, undo) in meant {
            let mut fields = Object::new();
            fields.insert("subscriptionId", Json::from(id.as_str()));
            // It may have been ended from the other side meanwhile.
            self.shared().watched.remove(&id);
            self.call(undo, &fields, None)?;
        }
        Ok(())
    }

    /// The data of an answer that nobody sees; for completions, which do without
    /// if there is none.
    pub fn glance(&mut self, operation: Operation, fields: Object) -> Option<Json> {
        let client = self.client.as_mut().filter(|client| !client.is_over())?;
        client.call_within((operation.name(), fields), Some(GLANCE)).ok()?.data().ok()
    }

    /// Ends the connection without a word.
    pub fn close(mut self) -> Result<(), Failure> {
        self.shared().is_closing = true;
        self.client = None;
        Ok(())
    }

    /// After the last line: stays as long as something is watched.
    pub fn finish(mut self) -> Result<(), Failure> {
        if self.shared().watched.is_empty() {
            return self.close();
        }
        let reason = self.client.as_mut().map(Client::until_end).unwrap_or_default();
        match self.shared().is_unread {
            true => Err(Failure::Unread),
            false => Err(Failure::Unreachable(reason)),
        }
    }

    pub fn complain(&self, text: &str) {
        let mut shared = self.shared();
        let text = shared.style.red(&harmless(text));
        shared.complain(&text);
    }
}

fn help(about: Option<&str>) -> Result<String, String> {
    const TEXT: &str = "\
OPERATION ARGUMENT...   store. may be left out: get parts M4
                        arguments fill the fields in the order that .help OPERATION
                        shows; words that are no JSON are strings, and
                        FIELD=VALUE is for others: find parts {} limit=5
{\"type\":...}            a message as it is; it gets an id if it has none
watch QUERY [PARAMS]    show the result of a query, and its changes
events PATTERN          show events
unwatch [NAME]          end that, or all of them
.help [OPERATION]       this, or what an operation takes
.json                   messages as they are, and back
.quit                   or Ctrl-D

Operations: ";
    if let Some(name) = about {
        let unknown = || format!("unknown operation \"{name}\"");
        return line::operation(name).map(usage).ok_or_else(unknown);
    }
    let mut text = TEXT.to_owned();
    let mut family: Option<Family> = None;
    for operation in Operation::ALL.iter().copied() {
        if family != Some(operation.family()) {
            family = Some(operation.family());
            text.push_str("\n ");
        }
        text.push(' ');
        text.push_str(short(operation));
    }
    Ok(text)
}
