//! References to records that are not there. No damage: a record that expires,
//! makes room or is cleared takes nobody's reference with it, nor does a bucket
//! that is dropped. But somebody who looks at data wants to know.

use super::{Key, Lookup, Store};

/// A field whose references lead nowhere, and of how many records.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dangling {
    pub bucket: String,
    pub field: String,
    pub target: String,
    pub records: u64,
}

impl Store {
    /// Follows every reference. Takes time in proportion to the data.
    pub fn dangling(&self) -> Vec<Dangling> {
        let mut list = Vec::new();
        for bucket in self.buckets() {
            for outgoing in &bucket.references {
                let target = self.bucket_named(&outgoing.target);
                let is_there = |key: &Key| target.is_some_and(|target| target.get(key).is_some());
                let values = bucket.iter().filter_map(|(_, row)| row.field(outgoing.index.field()));
                let records = values
                    .filter(|value| !value.is_null())
                    .filter(|value| !Lookup::from(*value).key().is_some_and(is_there))
                    .count();
                if records > 0 {
                    list.push(Dangling {
                        bucket: bucket.name().to_owned(),
                        field: outgoing.index.field().name().to_owned(),
                        target: outgoing.target.to_string(),
                        records: records as u64,
                    });
                }
            }
        }
        list
    }
}
