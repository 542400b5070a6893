//! Live queries: definitions, parameters, and views that are maintained and not
//! run again.
//!
//! Owns what a query means, how its result follows the data at the cost of the
//! change, and which views a change concerns. Reads the store and is told every
//! commit; knows nothing of connections, sessions or envelopes.

mod definition;
mod explain;
mod form;
mod groups;
mod list;
mod order;
mod params;
mod piece;
mod plan;
mod routing;
mod sum;
mod tree;
mod value;
mod view;
mod views;

#[cfg(test)]
mod tests;

pub use view::ViewLimits;
pub(crate) use view::{Body, Changed, Want};
pub(crate) use views::{EndReason, News, NewsItem, ViewId, Views, not_a_query};
