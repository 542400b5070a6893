//! Rules, facts and timers across `kill -9`, and configured rules across
//! restarts with another configuration.

use std::fs;

use serde_json::{Value, json};

use crate::support::{Client, Scratch, Server, ends, noexd, with_data};

fn rule(id: &str, actions: Value) -> Value {
    json!({"id": id, "name": id, "trigger": {"type": "event", "topic": "go"}, "actions": actions})
}

fn answers(client: &mut Client) -> Vec<Value> {
    let questions = [
        ("rules.getRules", json!({})),
        ("rules.getRule", json!({"ruleId": "a"})),
        ("rules.getRule", json!({"ruleId": "b"})),
        ("rules.getAllFacts", json!({})),
    ];
    let mut all: Vec<Value> =
        questions.into_iter().map(|(what, of)| client.call(what, of)).collect();
    all.push(client.call("rules.stats", json!({}))["timersCount"].clone());
    all
}

#[test]
fn rules_facts_and_timers_come_back() {
    let scratch = Scratch::new("rules-come-back");
    let server = Server::start(&scratch.data(), &[]);
    let mut client = server.client();
    let timer = |name: &str| {
        json!({"type": "set_timer", "timer": {"name": name, "duration": "30d",
               "onExpire": {"topic": "end", "data": {"of": {"ref": "event.n"}}}}})
    };
    let fact = json!({"type": "set_fact", "key": "n:${event.n}", "value": {"ref": "event"}});
    client.call("rules.registerRule", json!({"rule": rule("a", json!([fact, timer("t")]))}));
    client.call("rules.registerRule", json!({"rule": rule("b", json!([timer("u:${event.n}")]))}));
    client.call("rules.registerRule", json!({"rule": rule("gone", json!([]))}));
    client.call("rules.updateRule", json!({"ruleId": "a", "updates": {"x": {"ü": [1.5, null]}}}));
    client.call("rules.disableRule", json!({"ruleId": "b"}));
    client.call("rules.unregisterRule", json!({"ruleId": "gone"}));
    client.call("rules.setFact", json!({"key": "z", "value": {"k": [1, null, "ü"]}}));
    client.call("rules.setFact", json!({"key": "y", "value": 1}));
    client.call("rules.deleteFact", json!({"key": "y"}));
    client.call("rules.setFact", json!({"key": "z", "value": null}));
    client.call("rules.emit", json!({"topic": "go", "data": {"n": 1}}));
    client.call("rules.enableRule", json!({"ruleId": "b"}));
    client.call("rules.emit", json!({"topic": "go", "data": {"n": 2}}));
    let before = answers(&mut client);
    assert_eq!(before[3].as_array().map(Vec::len), Some(3));
    assert_eq!(before[4], 2, "one timer is replaced, one is new");
    // The last response is the promise.
    server.kill();
    let server = Server::start(&scratch.data(), &[]);
    assert_eq!(answers(&mut server.client()), before, "after a kill");
    assert!(server.stop().success());
    let server = Server::start(&scratch.data(), &[]);
    let mut client = server.client();
    assert_eq!(answers(&mut client), before, "after a clean end");
    // They run, and versions go on.
    client.call("rules.emit", json!({"topic": "go", "data": {"n": 3}}));
    assert_eq!(client.call("rules.getFact", json!({"key": "n:3"})), json!({"n": 3}));
    let next = client.call("rules.registerRule", json!({"rule": rule("c", json!([]))}));
    assert_eq!(next["version"], 5);
    assert_eq!(client.call("rules.setFact", json!({"key": "z", "value": 1}))["version"], 3);
}

#[test]
fn the_configuration_file_wins() {
    let scratch = Scratch::new("rules-file");
    let file = scratch.0.join("config.json");
    let start = |rules: Value| {
        let config = json!({"rules": rules});
        fs::write(&file, config.to_string()).expect("written");
        let mut command = with_data(noexd(), &scratch.data());
        command.arg("--config").arg(&file);
        command
    };
    let names = |client: &mut Client| -> Vec<(String, String)> {
        let rules = client.call("rules.getRules", json!({}));
        let text = |rule: &Value, name: &str| rule[name].as_str().unwrap_or_default().to_owned();
        let rules = rules["rules"].as_array().expect("a list");
        rules.iter().map(|rule| (text(rule, "id"), text(rule, "name"))).collect()
    };
    let named = |id: &str, name: &str| {
        let mut rule = rule(id, json!([]));
        rule["name"] = json!(name);
        rule
    };
    let pair = |id: &str, name: &str| (id.to_owned(), name.to_owned());
    let first = json!({"definitions": [named("f1", "file"), named("f2", "file")]});
    let server = Server::run(&mut start(first.clone()));
    let mut client = server.client();
    client.call("rules.registerRule", json!({"rule": named("w", "wire")}));
    client.call("rules.updateRule", json!({"ruleId": "f1", "updates": {"name": "changed"}}));
    assert_eq!(names(&mut client), [pair("f2", "file"), pair("w", "wire"), pair("f1", "changed")]);
    server.kill();
    // What a client changed of a configured rule lasts until the next start;
    // what the file does not say any more is gone.
    let server = Server::run(&mut start(first));
    let mut found = names(&mut server.client());
    found.sort();
    assert_eq!(found, [pair("f1", "file"), pair("f2", "file"), pair("w", "wire")]);
    assert!(server.stop().success());
    let server = Server::run(&mut start(json!({"definitions": [named("f2", "new")]})));
    let mut found = names(&mut server.client());
    found.sort();
    assert_eq!(found, [pair("f2", "new"), pair("w", "wire")]);
    assert!(server.stop().success());
    // What cannot be registered stops the start, with its path.
    let broken = json!({"definitions": [named("f2", "x"), {"id": "b", "name": "b", "trigger": {"type": "odd"}}]});
    let (code, errors) = ends(&mut start(broken));
    assert_ne!(code, Some(0));
    let expected = "rules.definitions[1].trigger.type: Invalid trigger type: odd. \
                    Valid types: event, fact, timer, temporal";
    assert!(errors.contains(expected), "{errors}");
    let twice = json!({"definitions": [named("f", "x"), named("f", "y")]});
    let (code, errors) = ends(&mut start(twice));
    assert_ne!(code, Some(0));
    assert!(errors.contains("rules.definitions[1].id: Rule \"f\" already exists"), "{errors}");
}
