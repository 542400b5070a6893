//! The `where` of a view: filters over several records, and expressions.

use crate::budget::Budget;
use crate::json::{Json, Kind, Object, Raw};
use crate::logic::expr::{Cx, Expr, ExprLimits, Place, Record, Scope, Source};
use crate::store::Row;
use crate::store::filter::{OPERATORS, Operand};

#[derive(Debug)]
pub(super) enum Predicate {
    All(Vec<Predicate>),
    Any(Vec<Predicate>),
    Operand { place: Place, operand: Operand },
    Expr(Expr),
}

impl Predicate {
    /// # Errors
    /// `where: …`
    pub fn compile(
        object: &Object,
        scope: &Scope<'_>,
        limits: ExprLimits,
    ) -> Result<Predicate, String> {
        if let (Some((name, _)), 1) = (object.iter().next(), object.len())
            && name.starts_with('$')
            && !matches!(name, "$and" | "$or")
        {
            return expression(&Json::Object(object.clone()), scope, limits);
        }
        let mut all = Vec::new();
        for (name, value) in object.iter() {
            match name {
                "$and" => all.push(Predicate::All(list(name, value, scope, limits)?)),
                "$or" => all.push(Predicate::Any(list(name, value, scope, limits)?)),
                name if name.starts_with('$') => {
                    return Err(format!("where: cannot combine \"{name}\" with other members"));
                }
                path => {
                    let place = (scope.resolve)(path).map_err(|text| format!("where: {text}"))?;
                    if let Json::Object(operators) = value
                        && operators.keys().all(|name| name.starts_with('$'))
                        && let Some(op) = operators.keys().find(|name| !OPERATORS.contains(name))
                    {
                        return Err(format!("where: unknown filter operator \"{op}\""));
                    }
                    let operand = Operand::compile(path, value).map_err(|error| {
                        let text = error.message.strip_prefix("Invalid filter: ");
                        format!("where: {}", text.unwrap_or(&error.message))
                    })?;
                    all.push(Predicate::Operand { place, operand });
                }
            }
        }
        Ok(Predicate::All(all))
    }

    /// How many conditions there are.
    pub fn conditions(&self) -> usize {
        match self {
            Predicate::All(list) | Predicate::Any(list) => {
                list.iter().map(Predicate::conditions).sum()
            }
            Predicate::Operand { .. } | Predicate::Expr(_) => 1,
        }
    }

    pub fn uses_now(&self) -> bool {
        match self {
            Predicate::All(list) | Predicate::Any(list) => list.iter().any(Predicate::uses_now),
            Predicate::Operand { .. } => false,
            Predicate::Expr(expr) => expr.uses_now(),
        }
    }

    pub fn holds(&self, rows: &[&Row], records: &[Record<'_>], now: f64, budget: &Budget) -> bool {
        match self {
            Predicate::All(list) => list.iter().all(|it| it.holds(rows, records, now, budget)),
            Predicate::Any(list) => list.iter().any(|it| it.holds(rows, records, now, budget)),
            Predicate::Operand { place, operand } => {
                let row = match place.source {
                    Source::Record(at) => rows.get(at),
                    Source::Computed(_) => None,
                };
                operand.holds(row.and_then(|row| value_at(place, row, budget)), budget)
            }
            Predicate::Expr(expr) => expr
                .evaluate(&Cx { records, computed: &[], aggregates: &[], now, budget })
                .is_true(),
        }
    }
}

fn list(
    name: &str,
    value: &Json,
    scope: &Scope<'_>,
    limits: ExprLimits,
) -> Result<Vec<Predicate>, String> {
    let elements = value.as_array().filter(|elements| !elements.is_empty());
    let elements =
        elements.ok_or_else(|| format!("where: \"{name}\" must be a non-empty array"))?;
    let element = |element: &Json| match element {
        Json::Object(object) => Predicate::compile(object, scope, limits),
        Json::Bool(_) => expression(element, scope, limits),
        Json::String(text) if text.len() > 1 && text.starts_with('$') => {
            expression(element, scope, limits)
        }
        _ => Err("where: expected object".into()),
    };
    elements.iter().map(element).collect()
}

fn expression(json: &Json, scope: &Scope<'_>, limits: ExprLimits) -> Result<Predicate, String> {
    let expr = Expr::compile(json, limits, scope).map_err(|reason| format!("where: {reason}"))?;
    Ok(Predicate::Expr(expr))
}

/// The value at a place of a record, as it is stored.
pub(super) fn value_at<'r>(place: &Place, row: &'r Row, budget: &Budget) -> Option<Raw<'r>> {
    let mut value = match &place.field {
        None => row.raw(),
        Some(field) => {
            let (value, looked_at) = row.look_at(field);
            budget.spend_text(looked_at).ok()?;
            value?
        }
    };
    for name in &place.rest {
        budget.spend_text(value.text().len()).ok()?;
        value = match value.kind() {
            Kind::Object => value.get(name)?,
            Kind::Array => {
                let at: usize = name.parse().ok()?;
                // The only spelling of an index.
                Some(at).filter(|at| at.to_string() == **name)?;
                value.elements().nth(at)?
            }
            _ => return None,
        };
    }
    Some(value)
}
