//! `server.setLogLevel`: another level of the log, for a while. The log itself
//! belongs to the program; the engine is given a way to its filter.

use super::{Engine, Timer};
use crate::json::{Json, Object, Raw};
use crate::protocol::{ErrorCode, OpError, Request};
use crate::wheel::TimerId;

const TTL_MS: std::ops::RangeInclusive<u64> = 1_000..=86_400_000;
const DEFAULT_TTL_MS: u64 = 600_000;

/// Logs by a filter, or by the configured one again. False: that is none.
pub type SetLogFilter = Box<dyn Fn(Option<&str>) -> bool + Send>;

/// See the module's description.
#[derive(Default)]
pub(super) struct LogLevel {
    set: Option<SetLogFilter>,
    timer: Option<TimerId>,
}

impl std::fmt::Debug for LogLevel {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LogLevel").field("timer", &self.timer).finish_non_exhaustive()
    }
}

impl Engine {
    /// Lets clients change what is logged.
    pub fn set_log_filter(&mut self, set: SetLogFilter) {
        self.log_level.set = Some(set);
    }

    pub(in crate::engine) fn server_set_log_level(
        &mut self,
        request: &Request<'_>,
        out: &mut Vec<u8>,
    ) -> Result<(), OpError> {
        let filter = match request.field("filter") {
            Some(filter) if filter.is_null() => None,
            _ => Some(request.require_string("filter")?.into_owned()),
        };
        let ttl_ms = match request.present("ttlMs").map(Raw::as_number) {
            None => DEFAULT_TTL_MS,
            Some(number) => number
                .filter(|ms| ms.fract() == 0.0 && TTL_MS.contains(&(*ms as u64)))
                .map(|ms| ms as u64)
                .ok_or_else(|| {
                    let text = "Invalid \"ttlMs\": expected integer from 1000 to 86400000";
                    OpError::validation(text)
                })?,
        };
        let Some(set) = &self.log_level.set else {
            let text = "The log belongs to the program around this server";
            return Err(OpError::new(ErrorCode::UnknownOperation, text));
        };
        let until = match &filter {
            None => {
                self.end_log_level();
                None
            }
            Some(filter) => {
                if !set(Some(filter)) {
                    let text = "Invalid \"filter\": expected a filter as in RUST_LOG";
                    return Err(OpError::validation(text));
                }
                let at = self.now.mono.saturating_add(ttl_ms);
                let timer = self.wheel.insert(at, Timer::LogLevelOver);
                if let Some(before) = self.log_level.timer.replace(timer) {
                    self.wheel.cancel(before);
                }
                Some(self.now.wall.saturating_add(ttl_ms))
            }
        };
        let answer: Object = [
            ("filter", filter.map_or(Json::Null, Json::from)),
            ("until", until.map_or(Json::Null, |until| Json::Number(until as f64))),
        ]
        .into_iter()
        .collect();
        Json::Object(answer).write(out);
        Ok(())
    }

    /// What is logged is what was configured.
    pub fn end_log_level(&mut self) {
        if let Some(timer) = self.log_level.timer.take() {
            self.wheel.cancel(timer);
            if let Some(set) = &self.log_level.set {
                set(None);
            }
        }
    }
}
