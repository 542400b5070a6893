//! Operations that misbehave on purpose, to prove that a panic costs one
//! connection. They exist in test builds only.

use crate::app::ConnId;
use crate::engine::Engine;
use crate::engine::Outcome;
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
            "test.job" => self.job_behind_a_write(conn, request),
            _ => None,
        }
    }

    /// Panics where the request asks for it: `before` or `behind` its operation.
    pub(in crate::engine) fn panic_if_asked(request: &Request<'_>, place: &str) {
        let asked = request.str_field("testPanic");
        assert!(asked.is_none_or(|asked| *asked != *place), "asked to, {place}");
    }

    /// A job whose continuation commits nothing; with `bucket`, a record was
    /// committed before it.
    fn job_behind_a_write(
        &mut self,
        conn: ConnId,
        request: &Request<'_>,
    ) -> Option<Result<Outcome, OpError>> {
        if let Some(bucket) = request.str_field("bucket") {
            let bucket = self.store.bucket_id(&bucket)?;
            let mut record = Object::new();
            record.insert("t", Json::from("before the job"));
            let data = Data::from(&record);
            let written =
                self.write_single(|draft, store, ids| draft.insert(store, ids, bucket, &data));
            written.expect("a valid record");
        }
        Some(self.start_job(
            conn,
            request.id,
            &request.operation,
            Box::new(|| Box::new(42.0f64)),
            Box::new(|_, _, output, reply| {
                let answer = output.ok().and_then(|any| any.downcast::<f64>().ok());
                Json::Number(answer.map_or(f64::NAN, |number| *number)).write(reply.data());
                Ok(Outcome::Done)
            }),
        ))
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
