//! What the parameters of a query have to be, from where they stand.

use super::model::{Bucket, Member, Type, union};
use crate::json::{Json, Object};
use crate::query::placeholder;

struct Found<'b> {
    bucket: Option<usize>,
    buckets: &'b [Bucket],
    params: Vec<(String, Type)>,
}

/// All parameters of a filter, in the order in which they stand there.
pub(super) fn of(filter: Option<&Json>, bucket: Option<usize>, buckets: &[Bucket]) -> Vec<Member> {
    let mut found = Found { bucket, buckets, params: Vec::new() };
    if let Some(Json::Object(filter)) = filter {
        found.group(filter);
    }
    let member =
        |(name, is): (String, Type)| Member { name, is, optional: false, note: String::new() };
    found.params.into_iter().map(member).collect()
}

impl Found<'_> {
    fn add(&mut self, name: &str, is: Type) {
        match self.params.iter().position(|(known, _)| known == name) {
            None => self.params.push((name.to_owned(), is)),
            Some(at) => {
                let both = self.params.get(at).map(|(_, known)| self.both(known, &is));
                if let (Some(slot), Some(both)) = (self.params.get_mut(at), both) {
                    slot.1 = both;
                }
            }
        }
    }

    fn group(&mut self, filter: &Object) {
        for (name, operand) in filter.iter() {
            match (name, operand) {
                ("$or" | "$and", Json::Array(groups)) => {
                    for group in groups {
                        match group {
                            Json::Object(group) => self.group(group),
                            other => self.place(other, &Type::Filter(self.bucket)),
                        }
                    }
                }
                ("$or" | "$and", other) => {
                    self.place(other, &Type::Array(Box::new(Type::Filter(self.bucket))));
                }
                (field, operand) => self.condition(field, operand),
            }
        }
    }

    fn condition(&mut self, field: &str, operand: &Json) {
        let bucket = self.bucket.and_then(|at| self.buckets.get(at));
        let is = match bucket.and_then(|bucket| bucket.member(field)) {
            // That a field may be null is said where null is of use.
            Some(member) => match &member.is {
                Type::Union(types) => {
                    union(types.iter().filter(|one| **one != Type::Null).cloned())
                }
                other => other.clone(),
            },
            None => Type::scalar(),
        };
        let Some(operators) = operand.as_object() else {
            return self.place(operand, &is.or_null());
        };
        for (operator, operand) in operators.iter() {
            match operator {
                "$eq" | "$neq" => self.place(operand, &is.clone().or_null()),
                "$in" | "$nin" => self.list(operand, &is, Type::Array(Box::new(is.clone()))),
                "$between" => self.list(operand, &is, Type::Pair(Box::new(is.clone()))),
                "$contains" | "$startsWith" | "$endsWith" | "$search" => {
                    self.place(operand, &Type::String);
                }
                "$exists" => self.place(operand, &Type::Boolean),
                _ => self.place(operand, &is),
            }
        }
    }

    fn list(&mut self, operand: &Json, element: &Type, whole: Type) {
        match operand {
            Json::Array(elements) => {
                elements.iter().for_each(|operand| self.place(operand, element));
            }
            other => self.place(other, &whole),
        }
    }

    fn place(&mut self, operand: &Json, is: &Type) {
        if let Some(name) = operand.as_str().and_then(placeholder) {
            self.add(name, is.clone());
        }
    }

    /// What is both: a parameter that stands in two places.
    fn both(&self, a: &Type, b: &Type) -> Type {
        let atoms = |is: &Type| match is {
            Type::Union(types) => types.clone(),
            other => vec![other.clone()],
        };
        let (a, b) = (atoms(a), atoms(b));
        union(a.iter().flat_map(|a| b.iter().filter_map(|b| self.common(a, b))))
    }

    fn common(&self, a: &Type, b: &Type) -> Option<Type> {
        match (a, b) {
            (a, b) if a == b => Some(a.clone()),
            (Type::Json | Type::Unknown, other) | (other, Type::Json | Type::Unknown) => {
                Some(other.clone())
            }
            (Type::Array(a), Type::Array(b)) => Some(Type::Array(Box::new(self.both(a, b)))),
            (Type::Pair(a), Type::Pair(b)) => Some(Type::Pair(Box::new(self.both(a, b)))),
            (Type::Array(a), Type::Pair(b)) | (Type::Pair(a), Type::Array(b)) => {
                Some(Type::Pair(Box::new(self.both(a, b))))
            }
            (Type::Literal(value), base) | (base, Type::Literal(value)) => {
                let fits = match self.resolved(base) {
                    Type::String => value.as_str().is_some(),
                    Type::Number => value.as_number().is_some(),
                    Type::Boolean => value.as_bool().is_some(),
                    _ => false,
                };
                fits.then(|| Type::Literal(value.clone()))
            }
            (key @ Type::Key(_), base) | (base, key @ Type::Key(_)) => {
                (self.resolved(key) == self.resolved(base)).then(|| key.clone())
            }
            _ => None,
        }
    }

    /// What a key type stands for in the end.
    fn resolved(&self, is: &Type) -> Type {
        let mut is = is.clone();
        // No circle: keys of buckets do not lead back.
        for _ in 0..=self.buckets.len() {
            match is {
                Type::Key(at) => match self.buckets.get(at) {
                    Some(bucket) => is = bucket.key.clone(),
                    None => return Type::Never,
                },
                other => return other,
            }
        }
        is
    }
}
