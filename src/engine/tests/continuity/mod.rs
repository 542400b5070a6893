//! Numbers of commits, positions, what somebody who comes back is told.

mod client;
mod many;
mod messages;
mod numbers;
mod property;
mod resume;
mod rights;
mod shared;
mod windows;

use crate::app::ConnId;
use crate::engine::tests::Rig;
use crate::json::Json;

/// The member at a path.
fn at<'j>(json: &'j Json, path: &str) -> Option<&'j Json> {
    path.split('.').try_fold(json, |value, name| value.get(name))
}

fn number_at(json: &Json, path: &str) -> f64 {
    let value = at(json, path).and_then(Json::as_number);
    value.unwrap_or_else(|| panic!("no number at {path}: {json}"))
}

/// Sends a request that succeeds, and returns its answer.
fn call(rig: &mut Rig, conn: ConnId, body: &str) -> Json {
    let answer = rig.call(conn, &format!(r#"{{"id":1,"type":{body}}}"#));
    assert_eq!(answer.get("type").and_then(Json::as_str), Some("result"), "{body}: {answer}");
    answer
}
