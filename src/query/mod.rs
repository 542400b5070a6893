//! Live queries: definitions, parameters, and views that are maintained and not
//! run again.
//!
//! Owns what a query means, how its result follows the data at the cost of the
//! change, and which views a change concerns. Reads the store and is told every
//! commit; knows nothing of connections, sessions or envelopes.
//!
//! Files from the ground up; each imports only what stands above its line:
//!
//! 1. `ids`, `intervals`, `order`, `params`, `piece`, `program`, `span`, `sum`
//! 2. `definition`, `list`, `lists`, `wanted`
//! 3. `leaf`, `value`
//! 4. `groups`, `list/change`
//! 5. `list/turnover`, `plan`
//! 6. `digest`, `program/cx`
//! 7. `form`, `routing`
//! 8. `sets`, `view`
//! 9. `derived`, `news`, `program/state`
//! 10. `live`
//! 11. `entry`
//! 12. `views`
//! 13. `costly`, `explain`, `listed`, `moved`, `position`, `registry`, `resume`, `upkeep`,
//!     `windows`
//! 14. `ad_hoc`

mod ad_hoc;
mod costly;
mod definition;
mod derived;
mod digest;
mod entry;
mod explain;
mod form;
mod groups;
mod ids;
mod intervals;
mod leaf;
mod list;
mod listed;
mod lists;
mod live;
mod moved;
mod news;
pub(crate) mod order;
mod params;
mod piece;
mod plan;
mod position;
mod program;
mod registry;
mod resume;
mod routing;
mod sets;
mod span;
pub(crate) mod sum;
mod upkeep;
mod value;
mod view;
mod views;
mod wanted;
mod windows;

#[cfg(test)]
mod tests;

pub(crate) use ad_hoc::AdHoc;
pub(crate) use definition::unknown_members;
pub(crate) use derived::{Derivation, Derived};
pub(crate) use entry::{SlowView, not_a_query};
pub(crate) use ids::ViewId;
pub(crate) use listed::{ViewRow, WantedViews};
pub(crate) use news::{EndReason, News, NewsItem};
#[cfg(feature = "tools")]
pub(crate) use params::placeholder;
pub use program::{
    Effect, Group, IncrementalQuery, Page, Query, QueryBucket, QueryCx, RecordChange,
};
pub(crate) use program::{Incremental, Plain, Program};
pub(crate) use resume::Question;
pub(crate) use sets::{Listed as ListedSet, SetId, Sets};
pub(crate) use span::Span;
pub use view::ViewLimits;
pub(crate) use view::{Body, Changed, Want};
pub(crate) use views::Views;
