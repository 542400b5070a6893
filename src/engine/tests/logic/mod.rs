//! Logic over the engine: what clients see of computed fields, constraints and
//! views.

mod constraints;
mod model;
mod views;

use super::*;

/// One client of an open server.
pub(super) struct Client {
    pub rig: Rig,
    pub conn: ConnId,
}

impl Client {
    pub fn new() -> Client {
        Client::with(EngineOptions { heartbeat_interval_ms: 0, ..EngineOptions::default() })
    }

    pub fn with(options: EngineOptions) -> Client {
        let mut rig = Rig::new(options);
        let conn = rig.connect();
        rig.received(conn);
        Client { rig, conn }
    }

    /// The data, or `CODE message` and the details.
    pub fn ask(&mut self, request: &str) -> String {
        self.ask_as(self.conn, request)
    }

    pub fn ask_as(&mut self, conn: ConnId, request: &str) -> String {
        self.rig.received(conn);
        self.rig.send(conn, &format!(r#"{{"id":1,{request}}}"#));
        let got = self.rig.received(conn);
        let answer = got.into_iter().find(|message| message.get("id").is_some());
        let answer = answer.expect("an answer");
        let text = |name: &str| answer.get(name).and_then(Json::as_str).unwrap_or_default();
        let details = answer.get("details").map(|details| format!(" {}", details.to_text()));
        match text("type") {
            "error" => {
                format!("{} {}{}", text("code"), text("message"), details.unwrap_or_default())
            }
            _ => answer.get("data").map(Json::to_text).unwrap_or_default(),
        }
    }

    pub fn bucket(&mut self, name: &str, schema: &str) {
        let answer = self.ask(&format!(
            r#""type":"store.defineBucket","name":"{name}","config":{{"key":"id","schema":{{"id":{{"type":"number","required":true}}{schema}}}}}"#
        ));
        assert!(answer.contains("created"), "{answer}");
    }

    pub fn insert(&mut self, bucket: &str, data: &str) -> String {
        self.ask(&format!(r#""type":"store.insert","bucket":"{bucket}","data":{data}"#))
    }

    pub fn update(&mut self, bucket: &str, key: u32, data: &str) -> String {
        self.ask(&format!(r#""type":"store.update","bucket":"{bucket}","key":{key},"data":{data}"#))
    }

    pub fn delete(&mut self, bucket: &str, key: u32) -> String {
        self.ask(&format!(r#""type":"store.delete","bucket":"{bucket}","key":{key}"#))
    }

    /// One field of a record.
    pub fn field(&mut self, bucket: &str, key: u32, field: &str) -> String {
        let record = self.ask(&format!(r#""type":"store.get","bucket":"{bucket}","key":{key}"#));
        let record = crate::json::parse(&record, 64).expect("JSON").to_json();
        record.get(field).map_or("missing".into(), Json::to_text)
    }
}
