//! The service `store`: records, read and written by rules through the one
//! door, with the rights of the server.

use crate::engine::Engine;
use crate::json::Json;
use crate::protocol::OpError;
use crate::rules::ServiceError;
use crate::store::{BucketId, Data, Lookup};

fn failed(error: &OpError) -> ServiceError {
    ServiceError::Failed(error.message.to_string())
}

/// The arguments of one call, by position and name.
struct Arguments<'a> {
    method: &'a str,
    args: &'a [Json],
}

impl<'a> Arguments<'a> {
    fn expected(&self, at: usize, what: &str) -> ServiceError {
        let method = self.method;
        ServiceError::Failed(format!("store.{method}: argument {} must be {what}", at + 1))
    }

    fn text(&self, at: usize, name: &str) -> Result<&'a str, ServiceError> {
        let text = self.args.get(at).and_then(Json::as_str).filter(|text| !text.is_empty());
        text.ok_or_else(|| self.expected(at, &format!("the {name}, a non-empty string")))
    }

    fn key(&self, at: usize) -> Result<Lookup, ServiceError> {
        let key = self.args.get(at).filter(|key| !key.is_null());
        key.map(Lookup::from).ok_or_else(|| self.expected(at, "the key"))
    }

    fn data(&self, at: usize, name: &str) -> Result<Data<'a>, ServiceError> {
        let object = self.args.get(at).and_then(Json::as_object);
        object.map(Data::from).ok_or_else(|| self.expected(at, &format!("the {name}, an object")))
    }
}

impl Engine {
    pub(in crate::engine) fn call_store(
        &mut self,
        method: &str,
        args: &[Json],
    ) -> Result<Json, ServiceError> {
        if !matches!(method, "get" | "insert" | "update" | "delete") {
            return Err(ServiceError::UnknownMethod);
        }
        let arguments = Arguments { method, args };
        let bucket = self.service_bucket(arguments.text(0, "bucket")?)?;
        match method {
            "get" => {
                let key = arguments.key(1)?;
                let bucket = self.store.bucket(bucket);
                let row = bucket.and_then(|bucket| bucket.get(key.key()?));
                Ok(row.map_or(Json::Null, |row| row.to_json()))
            }
            "insert" => {
                let data = arguments.data(1, "record")?;
                let row =
                    self.write_single(|draft, store, ids| draft.insert(store, ids, bucket, &data));
                row.map(|row| row.to_json()).map_err(|error| failed(&error))
            }
            "update" => {
                let key = arguments.key(1)?;
                let data = arguments.data(2, "changes")?;
                let row =
                    self.write_single(|draft, store, _| draft.update(store, bucket, &key, &data));
                row.map(|row| row.to_json()).map_err(|error| failed(&error))
            }
            _ => {
                let key = arguments.key(1)?;
                let deleted = self.write_single(|draft, store, _| {
                    let existed = draft.get(store, bucket, &key).is_some();
                    draft.delete(store, bucket, &key)?;
                    Ok(existed)
                });
                deleted.map(Json::Bool).map_err(|error| failed(&error))
            }
        }
    }

    fn service_bucket(&self, name: &str) -> Result<BucketId, ServiceError> {
        self.refuse_system_bucket(name).map_err(|error| failed(&error))?;
        let bucket = self.store.require(name).map_err(|error| failed(&error))?;
        Ok(bucket.id())
    }
}
