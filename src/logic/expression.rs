//! Expressions for programs that embed the server.

use super::expr::{Cx, Expr, ExprLimits, Place, Record, Scope};
use crate::budget::Budget;
use crate::json::{Json, Raw};
use crate::store::{Layout, Row};

/// An expression that was checked once and is evaluated many times.
///
/// ```
/// use noexd::budget::Budget;
/// use noexd::json::{Json, parse};
/// use noexd::logic::{ExprLimits, Expression};
/// use serde_json::json;
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let expr = Json::from(json!({"$multiply": ["$net", {"$add": [1, "$vat"]}]}));
/// let gross = Expression::compile(&expr, ExprLimits::default())?;
/// let budget = Budget::unlimited();
/// let line = parse(r#"{"net":10,"vat":0.5}"#, 64)?;
/// assert_eq!(gross.evaluate(line, 0.0, &budget), Json::Number(15.0));
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Expression(Expr);

impl Expression {
    /// # Errors
    ///
    /// What is wrong with it, in the words that a client gets.
    pub fn compile(expr: &Json, limits: ExprLimits) -> Result<Expression, String> {
        let layout = Layout::default();
        let resolve = |path: &str| Ok(Place::of(0, path, &layout));
        let scope = Scope { resolve: &resolve, aggregates: false };
        Expr::compile(expr, limits, &scope).map(Expression)
    }

    /// Its value on a record. `now`: Unix time in milliseconds. Once the budget
    /// is used up, a value means nothing.
    pub fn evaluate(&self, record: Raw<'_>, now: f64, budget: &Budget) -> Json {
        self.on(Record::Raw(record), now, budget)
    }

    /// The same on a stored record.
    pub fn evaluate_row(&self, row: &Row, now: f64, budget: &Budget) -> Json {
        self.on(Record::Row(row), now, budget)
    }

    fn on(&self, record: Record<'_>, now: f64, budget: &Budget) -> Json {
        let records = [record];
        let cx = Cx { records: &records, computed: &[], aggregates: &[], now, budget };
        self.0.evaluate(&cx).to_json()
    }
}
