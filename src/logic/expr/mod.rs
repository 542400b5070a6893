//! Expressions: checked and compiled once, evaluated many times.
//!
//! Owns their grammar, the meaning of every operator, and the texts of what is
//! wrong with one. Evaluation is total: what has no sensible value is null, and
//! nothing is coerced. Knows records only as something that has fields, and
//! nothing of buckets, views or requests.

mod date;
mod eval;
mod ops;
mod parse;
mod round;
mod value;

#[cfg(test)]
mod naive;
#[cfg(test)]
mod tests;

use crate::budget::Budget;
use crate::json::{Json, Raw};
use crate::store::{FieldRef, Layout, Row};

pub(crate) use ops::Function;
pub(crate) use value::Value;

/// How large one expression may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ExprLimits {
    pub depth: usize,
    pub nodes: usize,
}

impl Default for ExprLimits {
    fn default() -> Self {
        ExprLimits { depth: 32, nodes: 500 }
    }
}

/// What the references and aggregates of an expression may be.
pub(crate) struct Scope<'s> {
    /// Where a path (without its `$`) leads, or why it leads nowhere.
    pub resolve: &'s dyn Fn(&str) -> Result<Place, String>,
    pub aggregates: bool,
}

/// Where a reference leads.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    pub source: Source,
    /// `None`: the whole record.
    pub field: Option<FieldRef>,
    /// Members and indexes below the field.
    pub rest: Box<[Box<str>]>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Source {
    /// One of the records that it is evaluated on.
    Record(usize),
    /// One of the values that were computed just before.
    Computed(usize),
}

impl Place {
    /// The place of a path in a record of this layout.
    pub fn of(source: usize, path: &str, layout: &Layout) -> Place {
        let mut names = path.split('.');
        let field = names.next().map(|name| layout.field(name));
        Place { source: Source::Record(source), field, rest: names.map(Box::from).collect() }
    }
}

#[derive(Clone, Debug)]
pub(crate) enum Node {
    Constant(Json),
    Reference(Place),
    Call(ops::Operator, Box<[Node]>),
    /// `$in` with a list of expressions.
    OneOf(Box<Node>, Box<[Node]>),
    /// By its place among the expression's aggregates.
    Aggregate(usize),
}

#[derive(Clone, Debug)]
pub(crate) struct Aggregate {
    pub function: Function,
    pub argument: Argument,
}

#[derive(Clone, Debug)]
pub(crate) enum Argument {
    /// `"*"`
    Rows,
    Of(Node),
}

/// A compiled expression.
#[derive(Clone, Debug)]
pub(crate) struct Expr {
    root: Node,
    aggregates: Box<[Aggregate]>,
}

/// One of the records that an expression is evaluated on.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Record<'a> {
    Row(&'a Row),
    Raw(Raw<'a>),
}

/// What an expression is evaluated with.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cx<'a> {
    pub records: &'a [Record<'a>],
    pub computed: &'a [Json],
    pub aggregates: &'a [Json],
    /// Milliseconds since 1970; one instant per request, commit or timer turn.
    pub now: f64,
    /// One step per node. What was evaluated when it is used up means nothing.
    pub budget: &'a Budget,
}

impl Expr {
    /// # Errors
    /// What is wrong with it: one of the reasons of the specification.
    pub fn compile(json: &Json, limits: ExprLimits, scope: &Scope<'_>) -> Result<Expr, String> {
        parse::measure(json, limits)?;
        let mut parser = parse::Parser::new(scope);
        let root = parser.parse(json)?;
        Ok(Expr { root, aggregates: parser.aggregates.into() })
    }

    /// A reference as an expression.
    pub fn reference(place: Place) -> Expr {
        Expr { root: Node::Reference(place), aggregates: Box::default() }
    }

    pub fn aggregates(&self) -> &[Aggregate] {
        &self.aggregates
    }

    /// Calls `with` for the place of every reference.
    pub fn each_place<'e>(&'e self, with: &mut dyn FnMut(&'e Place)) {
        self.root.each_place(with);
        for aggregate in &self.aggregates {
            if let Argument::Of(node) = &aggregate.argument {
                node.each_place(with);
            }
        }
    }

    /// Whether the time is a part of it.
    pub fn uses_now(&self) -> bool {
        let of = self.aggregates.iter().filter_map(|aggregate| match &aggregate.argument {
            Argument::Of(node) => Some(node),
            Argument::Rows => None,
        });
        self.root.uses_now() || of.into_iter().any(Node::uses_now)
    }

    pub fn evaluate<'a>(&'a self, cx: &Cx<'a>) -> Value<'a> {
        self.root.evaluate(cx)
    }
}

impl Argument {
    /// The value of one row; `None` for `"*"`.
    pub fn evaluate<'a>(&'a self, cx: &Cx<'a>) -> Option<Value<'a>> {
        match self {
            Argument::Rows => None,
            Argument::Of(node) => Some(node.evaluate(cx)),
        }
    }
}

impl Node {
    fn each_place<'e>(&'e self, with: &mut dyn FnMut(&'e Place)) {
        match self {
            Node::Reference(place) => with(place),
            Node::Call(_, args) => args.iter().for_each(|arg| arg.each_place(with)),
            Node::OneOf(first, list) => {
                first.each_place(with);
                list.iter().for_each(|element| element.each_place(with));
            }
            Node::Constant(_) | Node::Aggregate(_) => {}
        }
    }

    fn uses_now(&self) -> bool {
        match self {
            Node::Call(ops::Operator::Now, _) => true,
            Node::Call(_, args) => args.iter().any(Node::uses_now),
            Node::OneOf(first, list) => first.uses_now() || list.iter().any(Node::uses_now),
            Node::Constant(_) | Node::Reference(_) | Node::Aggregate(_) => false,
        }
    }
}
