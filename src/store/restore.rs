//! Replacing the content of buckets by what a backup holds, as one commit.

use std::sync::Arc;

use hashbrown::HashSet;

use super::admin::layout_of;
use super::bucket::Bucket;
use super::changeset::{ChangeSet, DefinitionOp, Op};
use super::draft::unique_violation;
use super::schema::Definition;
use super::{BucketId, ChangeKind, Data, Key, Store};
use crate::json::{Object, Raw, parse};
use crate::protocol::{ErrorCode, OpError};

/// Levels of nesting that a stored record may have; more than any message can.
const MAX_DEPTH: u32 = 1024;

/// A bucket as a backup has it.
#[derive(Clone, Debug, Default)]
pub struct Content {
    pub name: String,
    pub definition: Arc<Object>,
    pub counter: u64,
    /// The texts of the records, in table order.
    pub rows: Vec<Box<str>>,
}

impl Store {
    /// Prepares that the buckets have this content and no other. A bucket that
    /// is there keeps its definition; one that is not is defined. Records are
    /// not validated, but where they cannot stand under the definition (no key,
    /// a key or a unique value twice) nothing is restored. Nor is it where records
    /// have owners, as these would have none.
    ///
    /// # Errors
    /// `CONFLICT` with what does not fit.
    pub fn prepare_restore(&self, contents: &[Content]) -> Result<ChangeSet, OpError> {
        let mut set = ChangeSet::default();
        let mut next_id = self.last_id;
        for content in contents {
            let conflict = |reason: String| {
                let name = &content.name;
                let text = format!("Cannot restore bucket \"{name}\": {reason}");
                OpError::new(ErrorCode::Conflict, text)
            };
            let defined;
            let (id, bucket) = match self.bucket_named(&content.name) {
                Some(bucket) => {
                    let stored = content.definition.get("key").and_then(|key| key.as_str());
                    if stored != Some(bucket.key_field()) {
                        return Err(conflict(format!(
                            "its key field was \"{}\" and is \"{}\"",
                            stored.unwrap_or_default(),
                            bucket.key_field()
                        )));
                    }
                    if bucket.definition.lifetime.is_some() {
                        let text = "it takes records from connections only".to_owned();
                        return Err(conflict(text));
                    }
                    set.cleared.push(bucket.id());
                    (bucket.id(), bucket)
                }
                None => {
                    defined = self.defined_again(content).map_err(conflict)?;
                    next_id += 1;
                    set.definitions.push(DefinitionOp::Define(Box::new(defined.clone())));
                    (BucketId(next_id), &defined)
                }
            };
            add_rows(&mut set.ops, id, bucket, &content.rows, &conflict)?;
            set.counters.push((id, content.counter));
        }
        Ok(set)
    }

    /// Whether a backup has something for a bucket: it holds the definition of one
    /// with a `lifetime`, never its records, which are left alone if it is there.
    pub fn is_restored(&self, content: &Content) -> bool {
        let has_owners = content.definition.get("lifetime").is_some_and(|it| !it.is_null());
        !has_owners || self.bucket_named(&content.name).is_none()
    }

    fn defined_again(&self, content: &Content) -> Result<Bucket, String> {
        let Content { name, definition, .. } = content;
        let definition = Definition::parse(name, Object::clone(definition))
            .map_err(|error| error.into_error(name).message.into_owned())?;
        let layout = layout_of(&definition);
        Ok(Bucket::new(BucketId(0), name, definition, layout, 0))
    }
}

fn add_rows(
    ops: &mut Vec<Op>,
    id: BucketId,
    bucket: &Bucket,
    rows: &[Box<str>],
    conflict: &dyn Fn(String) -> OpError,
) -> Result<(), OpError> {
    let mut keys = HashSet::with_capacity(rows.len());
    let unique = bucket.indexes.iter().filter(|index| index.is_unique());
    let mut unique: Vec<_> = unique.map(|index| (index, HashSet::new())).collect();
    ops.reserve(rows.len());
    for text in rows {
        let raw = parse(text, MAX_DEPTH).map_err(|error| conflict(error.to_string()))?;
        let row = bucket.row_of(&Data::from(raw));
        let key = row.field(bucket.table.key_field()).and_then(Key::from_raw);
        let key = key.ok_or_else(|| conflict("a record has no key".to_owned()))?;
        if !keys.insert(key.clone()) {
            return Err(conflict(format!("two records have the key \"{key}\"")));
        }
        for (index, values) in &mut unique {
            if let Some(value) = index.value_of(&row)
                && !values.insert(value.to_owned())
            {
                let violation =
                    unique_violation(&bucket.name, index.field().name(), Raw::checked(value));
                return Err(conflict(violation.message.into_owned()));
            }
        }
        ops.push(Op {
            bucket: id,
            kind: ChangeKind::Inserted,
            key,
            place: None,
            row: Some(row),
            written: 0,
            by_reference: false,
            owner: None,
        });
    }
    Ok(())
}
