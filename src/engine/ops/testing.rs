//! Operations that misbehave on purpose, to prove that a panic costs one
//! connection. They exist in test builds only.

use super::Outcome;
use crate::app::ConnId;
use crate::engine::Engine;
use crate::json::Json;
use crate::protocol::{OpError, Request};

impl Engine {
    /// `None`: not one of these.
    pub(in crate::engine) fn test_operation(
        &mut self,
        conn: ConnId,
        name: &str,
        request: &Request<'_>,
    ) -> Option<Result<Outcome, OpError>> {
        match name {
            "test.panic" => panic!("asked to"),
            "test.job" => Some(self.start_job(
                conn,
                request.id,
                name,
                Box::new(|| Box::new(42.0f64)),
                Box::new(|_, _, output, reply| {
                    let answer = output.ok().and_then(|any| any.downcast::<f64>().ok());
                    Json::Number(answer.map_or(f64::NAN, |number| *number)).write(reply.data());
                    Ok(Outcome::Done)
                }),
            )),
            _ => None,
        }
    }
}
