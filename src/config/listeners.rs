//! How listeners are read and shown.

use super::listen::{Listen, ListenAddress, MOST, entry};
use super::problem::{Reader, shown};
use super::setting::Setting;
use crate::json::{Json, Object};

/// Empty: one listener, of `host` and `port`.
impl Setting for Vec<Listen> {
    fn read(&mut self, value: &Json, reader: &mut Reader) {
        let entries = value.as_array().unwrap_or_default();
        if !(1..=MOST).contains(&entries.len()) {
            reader.problem(format!("expected 1 to {MOST} entries, got {}", entries.len()));
        }
        *self = reader.elements(entries, entry);
    }

    fn json(&self) -> Json {
        let object = |entry: &Listen| {
            let address = Json::from(entry.address.to_string());
            if *entry == Listen::from(entry.address.clone()) {
                return address;
            }
            let mut object = Object::new();
            object.insert("address", address);
            if let Some(tls) = entry.tls {
                object.insert("tls", Json::Bool(tls));
            }
            object.insert("proxyProtocol", Json::Bool(entry.proxy_protocol));
            if let Some(mode) = entry.mode {
                object.insert("mode", Json::from(format!("{mode:04o}")));
            }
            Json::Object(object)
        };
        if self.is_empty() { Json::Null } else { Json::Array(self.iter().map(object).collect()) }
    }
}

/// A listener of its own, such as that of the metrics.
impl Setting for Option<ListenAddress> {
    fn read(&mut self, value: &Json, reader: &mut Reader) {
        let found: Option<ListenAddress> = value.as_str().and_then(|text| text.parse().ok());
        let is_name = |found: &ListenAddress| {
            matches!(found, ListenAddress::Tcp { .. }) && found.fixed().is_none()
        };
        match found {
            Some(found) if !is_name(&found) => *self = Some(found),
            _ => reader.problem(format!(
                "expected IP:PORT, [IPv6]:PORT, unix:PATH or systemd:NAME, got {}",
                shown(value)
            )),
        }
    }

    fn json(&self) -> Json {
        self.as_ref().map_or(Json::Null, |address| Json::from(address.to_string()))
    }
}
