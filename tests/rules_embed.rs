//! Services that an embedding program gives to rules, against a whole server.

use std::sync::mpsc;
use std::thread::ThreadId;

use noexd::rules::{RuleService, ServiceError, ServiceReply, Ticket};
use noexd::server::{LocalClient, StartError};
use noexd::{Handle, Server};
use serde_json::{Value, json};

/// Answers in every way, and tells on which thread.
struct Lab {
    tickets: mpsc::Sender<Ticket>,
    threads: mpsc::Sender<ThreadId>,
}

impl RuleService for Lab {
    fn call(&mut self, method: &str, args: &[Value]) -> Result<Value, ServiceError> {
        match method {
            "double" => match args.first().and_then(Value::as_i64) {
                Some(number) => Ok(json!(number * 2)),
                None => Err(ServiceError::Failed("double wants a number".into())),
            },
            "explode" => panic!("the lab is on fire"),
            _ => Err(ServiceError::UnknownMethod),
        }
    }

    fn begin(
        &mut self,
        method: &str,
        args: &[Value],
        ticket: Ticket,
    ) -> Result<ServiceReply, ServiceError> {
        match method {
            "job" => {
                let (threads, value) = (self.threads.clone(), json!(args));
                Ok(ServiceReply::Job(Box::new(move || {
                    threads.send(std::thread::current().id()).map_err(|error| error.to_string())?;
                    Ok(value)
                })))
            }
            "later" => {
                self.tickets.send(ticket).map_err(|e| ServiceError::Failed(e.to_string()))?;
                Ok(ServiceReply::Later)
            }
            other => self.call(other, args).map(ServiceReply::Now),
        }
    }
}

fn register(handle: &Handle, rule: Value) {
    handle.call("rules.registerRule", json!({ "rule": rule })).expect("registers");
}

fn subscribe(handle: &Handle, pattern: &str) -> LocalClient {
    let client = handle.connect().expect("connects");
    let subscribe = json!({"id": 1, "type": "rules.subscribe", "pattern": pattern});
    client.send(subscribe.to_string()).expect("sends");
    assert!(client.receive().expect("an answer").contains("subscriptionId"));
    client
}

/// The data of the next event that a subscriber is pushed.
fn next_event(client: &LocalClient) -> Value {
    let push: Value = serde_json::from_str(&client.receive().expect("a push")).expect("JSON");
    push["data"]["event"]["data"].clone()
}

#[test]
fn services_answer_at_once_from_a_job_and_later() {
    let (tickets, given) = mpsc::channel();
    let (threads, ran_on) = mpsc::channel();
    let server = Server::builder()
        .host("127.0.0.1")
        .port(0)
        .rule_service("lab", Box::new(Lab { tickets, threads }))
        .start()
        .expect("starts");
    let handle: Handle = (*server).clone();
    let out = subscribe(&handle, "out");
    let call = |method: &str, args: Value| json!({"type": "call_service", "service": "lab", "method": method, "args": args});
    let emit = |data: Value| json!({"type": "emit_event", "topic": "out", "data": data});
    let on = |id: &str, lookups: Value, actions: Value| {
        let trigger = json!({"type": "event", "topic": id});
        register(
            &handle,
            json!({"id": id, "name": id, "trigger": trigger, "lookups": lookups, "actions": actions}),
        );
    };

    let lookup =
        json!([{"name": "l", "service": "lab", "method": "double", "args": [{"ref": "event.n"}]}]);
    on("now", lookup, json!([emit(json!({"l": {"ref": "lookup.l"}}))]));
    handle.call("rules.emit", json!({"topic": "now", "data": {"n": 21}})).expect("emits");
    assert_eq!(next_event(&out), json!({"l": 42}));

    let lookup =
        json!([{"name": "l", "service": "lab", "method": "job", "args": [1, {"ref": "event.x"}]}]);
    on("job", lookup, json!([emit(json!({"l": {"ref": "lookup.l"}}))]));
    handle.call("rules.emit", json!({"topic": "job", "data": {"x": "y"}})).expect("emits");
    assert_eq!(next_event(&out), json!({"l": [1, "y"]}));
    assert_ne!(ran_on.recv().expect("it ran"), std::thread::current().id());

    // The emit is answered although the rule waits; others go on meanwhile.
    on("later", json!([]), json!([call("later", json!([])), emit(json!({"after": true}))]));
    handle.call("rules.emit", json!({"topic": "later"})).expect("emits");
    let ticket = given.recv().expect("a ticket");
    handle.call("rules.emit", json!({"topic": "now", "data": {"n": 1}})).expect("emits");
    assert_eq!(next_event(&out), json!({"l": 2}));
    handle.answer_rule_call(ticket, Ok(json!("thanks"))).expect("runs");
    assert_eq!(next_event(&out), json!({"after": true}));

    // A panic is a failure of the call.
    let caught = emit(json!({"e": {"ref": "var.e.message"}}));
    on(
        "explode",
        json!([]),
        json!([{"type": "try_catch", "try": [call("explode", json!([]))], "catch": {"as": "e", "actions": [caught]}}]),
    );
    handle.call("rules.emit", json!({"topic": "explode"})).expect("emits");
    assert_eq!(next_event(&out), json!({"e": "Service \"lab\" panicked: the lab is on fire"}));
    server.stop_and_wait(std::time::Duration::ZERO).expect("stops");
}

#[test]
fn names_of_services_are_taken_once() {
    let lab = || {
        let ((tickets, _), (threads, _)) = (mpsc::channel(), mpsc::channel());
        Box::new(Lab { tickets, threads })
    };
    let builder = || Server::builder().host("127.0.0.1").port(0);
    for builder in [
        builder().rule_service("store", lab()),
        builder().rule_service("lab", lab()).rule_service("lab", lab()),
    ] {
        match builder.build() {
            Err(StartError::Failed { step, reason }) => {
                assert_eq!(step, "rule_service");
                assert!(reason.ends_with("is already registered"), "{reason}");
            }
            other => panic!("{other:?}"),
        }
    }
}
