//! Operations that misbehave on purpose, to prove that a panic costs one
//! connection. They exist in test builds only.

use super::Outcome;
use crate::app::ConnId;
use crate::engine::Engine;
use crate::json::{Json, Object};
use crate::protocol::{OpError, Request};
use crate::store::{Data, Draft, Mode};

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
            "test.panicInWrite" => self.panic_in_write(request),
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

    /// Prepares writes to several records and panics before the last.
    fn panic_in_write(&mut self, request: &Request<'_>) -> Option<Result<Outcome, OpError>> {
        let name = request.str_field("bucket")?;
        let bucket = self.store.bucket_id(&name)?;
        let mut draft = Draft::new(Mode::Transaction, self.now.wall, &self.budget);
        for n in 0..10 {
            let mut record = Object::new();
            record.insert("id", Json::from(format!("panic-{n}")));
            let data = Data::from(&record);
            draft.insert(&self.store, &mut self.ids, bucket, &data).expect("a valid record");
        }
        draft.clear(&self.store, bucket).expect("a known bucket");
        panic!("after {} writes", draft.len(&self.store, bucket));
    }
}
