//! What an update says beside `data`: what it expects of the record, and what
//! is to be done to single fields of it.

mod apply;
mod expect;

pub use apply::Apply;
pub(super) use apply::Clock;
pub use expect::Expect;

use super::Data;

/// One change of one record.
#[derive(Clone, Copy, Debug)]
pub struct Edit<'e, 'a> {
    pub data: &'e Data<'a>,
    pub apply: &'e Apply,
    pub expect: Option<&'e Expect>,
}
