//! What the server shows an operator of its inside (operations.md section 8):
//! who costs what, which views there are, what needs attention.
//!
//! Owns the figures that are kept for this alone and the answers made from them.
//! Decides nothing: whatever is shown here would be as it is without being
//! looked at.

mod fields;
mod insights;
mod load;
mod meter;
mod scans;
mod surroundings;
mod top;
mod trace;
mod traced;
mod views;

pub use insights::Exposure;
pub(in crate::engine) use insights::Told;
pub(in crate::engine) use load::Load;
pub(crate) use meter::Meter;
pub(in crate::engine) use scans::Scans;
pub(in crate::engine) use trace::Traces;
pub(in crate::engine) use traced::Author;
