//! From JSON to a checked expression.

use super::ops::{Arity, Operator};
use super::{Aggregate, Argument, ExprLimits, Node, Place, Scope};
use crate::json::{Json, Object};

pub(super) struct Parser<'s> {
    pub scope: &'s Scope<'s>,
    pub aggregates: Vec<Aggregate>,
    /// Inside the argument of an aggregate.
    nested: bool,
}

/// Holds an expression against the limits, whatever is wrong with it otherwise.
pub(super) fn measure(json: &Json, limits: ExprLimits) -> Result<(), String> {
    let (mut nodes, mut too_deep) = (0usize, false);
    let mut open = vec![(json, 1usize)];
    while let Some((json, depth)) = open.pop() {
        match json {
            // The elements of a list stand where the list does.
            Json::Array(elements) => {
                open.extend(elements.iter().map(|element| (element, depth)));
                continue;
            }
            Json::Object(members) if !(members.len() == 1 && members.contains("$literal")) => {
                open.extend(members.values().map(|value| (value, depth.saturating_add(1))));
            }
            _ => {}
        }
        nodes = nodes.saturating_add(1);
        too_deep |= depth > limits.depth;
        // Which of the two is told does not depend on where the walk ends.
        if too_deep {
            break;
        }
    }
    if too_deep {
        return Err(format!("expression too deep (maximum {})", limits.depth));
    }
    if nodes > limits.nodes {
        return Err(format!("expression too large (maximum {} nodes)", limits.nodes));
    }
    Ok(())
}

impl<'s> Parser<'s> {
    pub fn new(scope: &'s Scope<'s>) -> Self {
        Parser { scope, aggregates: Vec::new(), nested: false }
    }

    pub fn parse(&mut self, json: &Json) -> Result<Node, String> {
        match json {
            Json::String(text) => match text.strip_prefix('$').filter(|path| !path.is_empty()) {
                Some(path) => Ok(Node::Reference(self.place(path)?)),
                None => Ok(Node::Constant(json.clone())),
            },
            Json::Null | Json::Bool(_) | Json::Number(_) => Ok(Node::Constant(json.clone())),
            Json::Object(members) => self.operation(members),
            Json::Array(_) => Err("expected expression".into()),
        }
    }

    fn place(&self, path: &str) -> Result<Place, String> {
        (self.scope.resolve)(path)
    }

    fn operation(&mut self, members: &Object) -> Result<Node, String> {
        let mut all = members.iter();
        let (name, args) = match (all.next(), members.len()) {
            (None, _) => return Err("expected expression".into()),
            (Some(member), 1) => member,
            (_, n) => return Err(format!("operator object must have exactly one key, got {n}")),
        };
        if !name.starts_with('$') {
            return Err(format!("operator must start with \"$\", got \"{name}\""));
        }
        let operator =
            Operator::from_name(name).ok_or_else(|| format!("unknown operator \"{name}\""))?;
        if operator == Operator::Literal {
            return Ok(Node::Constant(args.clone()));
        }
        let single = std::slice::from_ref(args);
        let list = args.as_array().unwrap_or(single);
        check_arity(name, operator.arity(), list.len())?;
        if operator.function().is_some() {
            return self.aggregate(name, operator, list);
        }
        if let (Operator::In, [wanted, Json::Array(elements)]) = (operator, list) {
            let wanted = self.parse(wanted)?;
            let elements = elements.iter().map(|element| self.parse(element));
            let elements = elements.collect::<Result<_, _>>()?;
            return Ok(Node::OneOf(Box::new(wanted), elements));
        }
        let args = list.iter().map(|arg| self.parse(arg)).collect::<Result<Vec<_>, _>>()?;
        if let (Operator::DateAdd, Some(Node::Constant(unit))) = (operator, args.get(2))
            && !matches!(unit.as_str(), Some("day" | "month" | "year"))
        {
            return Err("\"$dateAdd\" unit must be one of: day, month, year".into());
        }
        Ok(Node::Call(operator, args.into()))
    }

    fn aggregate(&mut self, name: &str, operator: Operator, args: &[Json]) -> Result<Node, String> {
        let Some(function) = operator.function() else { return Err(String::new()) };
        if !self.scope.aggregates {
            return Err(format!("\"{name}\" is an aggregate and not allowed here"));
        }
        if self.nested {
            return Err("aggregates cannot be nested".into());
        }
        let argument = match args {
            [Json::String(star)] if &**star == "*" && operator == Operator::Count => Argument::Rows,
            // A path, with or without `$`.
            [Json::String(path)] => {
                let path = path.strip_prefix('$').unwrap_or(path);
                Argument::Of(Node::Reference(self.place(path)?))
            }
            [other] => {
                self.nested = true;
                let node = self.parse(other);
                self.nested = false;
                Argument::Of(node?)
            }
            _ => return Err("expected expression".into()),
        };
        self.aggregates.push(Aggregate { function, argument });
        Ok(Node::Aggregate(self.aggregates.len() - 1))
    }
}

fn check_arity(name: &str, arity: Arity, got: usize) -> Result<(), String> {
    match arity.takes(got) {
        true => Ok(()),
        false => Err(format!("\"{name}\" expects {arity} arguments, got {got}")),
    }
}
