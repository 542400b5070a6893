//! Row rules: which records of a bucket exist for whom, and who may write what.
//!
//! Owns the member `rows` of a definition, compiled once, and what it becomes
//! for one principal: filters of the one filter language. Knows no connections
//! and no sessions; who somebody is comes as a [`Principal`].

mod bound;
mod set;
mod template;

use std::collections::BTreeSet;

pub(in crate::store) use bound::set_by_server;
pub use bound::{Bound, BoundRules, Decided, RuleName, Sight};
pub(crate) use set::MOST_SET_VALUES;
pub(in crate::store) use set::SetDefinitions;
pub use set::{SetDefinition, set_value, set_values};
use template::{Check, Place, fill_value, filter_for, sample};

use super::schema::Field;
use super::{Filter, Layout, Row};
use crate::budget::Budget;
use crate::json::{Json, Object};
use crate::protocol::{OpError, bounds};
use crate::spelling::Unknown;

const MEMBERS: &[&str] = &["read", "insert", "update", "delete", "set", "bypass"];

/// Somebody, as far as row rules are concerned.
#[derive(Clone, Copy)]
pub struct Principal<'a> {
    /// `None`: not logged in.
    pub user_id: Option<&'a str>,
    pub roles: &'a [Box<str>],
    /// As the token or the validator gave it.
    pub metadata: Option<&'a Object>,
    /// Unix time in milliseconds.
    pub now: f64,
    /// The values of a set, sorted.
    pub sets: &'a dyn Fn(&str) -> Result<Vec<Json>, OpError>,
}

/// One of the four rules.
#[derive(Clone, Debug)]
enum Rule {
    All,
    Nothing,
    Filter(Object),
}

/// The member `rows` of a definition.
#[derive(Clone, Debug)]
pub struct RowRules {
    read: Rule,
    insert: Rule,
    /// `None`: as `read`.
    update: Option<Rule>,
    /// `None`: as `update`.
    delete: Option<Rule>,
    set: Vec<(Box<str>, Json)>,
    bypass: Vec<Box<str>>,
    sets: BTreeSet<Box<str>>,
    uses_now: bool,
    null_owner: BTreeSet<Box<str>>,
}

impl RowRules {
    /// Checks `rows` of a definition.
    ///
    /// # Errors
    /// Everything that is wrong with it.
    pub(super) fn parse(rows: &Json, key: &str, fields: &[Field]) -> Result<RowRules, Vec<String>> {
        let Some(rows) = rows.as_object() else {
            return Err(vec!["rows: expected object".into()]);
        };
        let mut layout = Layout::new(fields.iter().map(|field| &*field.name));
        let searched = fields.iter().filter(|field| field.search);
        layout.set_searched(searched.map(|field| field.name.clone()).collect());
        let mut parser = Parser {
            layout,
            issues: rows
                .keys()
                .filter(|name| !MEMBERS.contains(name))
                .map(|name| format!("rows: unknown member \"{name}\""))
                .collect(),
            found: Check::new(Place::Once),
        };
        let read = parser.rule(rows, "read", Place::Lasting { sets: true });
        let insert = parser.rule(rows, "insert", Place::Once);
        let update = parser.rule(rows, "update", Place::Once);
        let delete = parser.rule(rows, "delete", Place::Once);
        let set = parser.set(rows.get("set"), key, fields);
        let bypass = parser.bypass(rows.get("bypass"));
        if !parser.issues.is_empty() {
            return Err(parser.issues);
        }
        let Check { sets, uses_now, null_owner, .. } = parser.found;
        Ok(RowRules {
            read: read.unwrap_or(Rule::All),
            insert: insert.unwrap_or(Rule::All),
            update,
            delete,
            set,
            bypass,
            sets,
            uses_now,
            null_owner,
        })
    }

    /// The sets that its filters mention.
    pub fn sets(&self) -> impl Iterator<Item = &str> {
        self.sets.iter().map(|name| &**name)
    }

    /// Whether some records are hidden from somebody.
    pub fn hides(&self) -> bool {
        !matches!(self.read, Rule::All)
    }

    /// Whether new records are looked at.
    pub fn limits_inserts(&self) -> bool {
        !matches!(self.insert, Rule::All)
    }

    /// The fields that are compared with the user's id, which is null for those
    /// who are not logged in.
    pub fn owner_fields(&self) -> impl Iterator<Item = &str> {
        self.null_owner.iter().map(|name| &**name)
    }

    /// What it becomes depends on the time.
    pub fn uses_now(&self) -> bool {
        self.uses_now
    }

    /// The role that lifts it, if one of these does.
    pub fn bypassed_by<'r>(&self, roles: &'r [Box<str>]) -> Option<&'r str> {
        roles.iter().find(|role| self.bypass.contains(role)).map(|role| &**role)
    }

    /// What it says to one principal.
    ///
    /// # Errors
    /// Of a set that cannot be used.
    pub fn bind(
        &self,
        layout: &Layout,
        key: &str,
        who: &Principal<'_>,
    ) -> Result<BoundRules, OpError> {
        let bind = |rule: &Rule| -> Result<Bound, OpError> {
            Ok(match rule {
                Rule::All => Bound::All,
                Rule::Nothing => Bound::nothing(layout, key),
                Rule::Filter(filter) => Bound::of(layout, key, filter_for(filter, who)?),
            })
        };
        let read = bind(&self.read)?;
        let insert = bind(&self.insert)?;
        let update = self.update.as_ref().map_or_else(|| Ok(read.clone()), bind)?;
        let delete = self.delete.as_ref().map_or_else(|| Ok(update.clone()), bind)?;
        let set = self.set.iter().map(|(name, value)| Ok((name.clone(), fill_value(value, who)?)));
        let set = set.collect::<Result<_, OpError>>()?;
        Ok(BoundRules { read, insert, update, delete, set })
    }
}

impl RowRules {
    /// Why a rule does not let a record through: the first member of its filter
    /// that does not hold, as it was defined. `None`: it does.
    pub fn first_failure(
        &self,
        name: RuleName,
        bound: &BoundRules,
        (layout, row): (&Layout, &Row),
        budget: &Budget,
    ) -> Option<Json> {
        let rule = bound.named(name);
        if rule.allows(row, budget) {
            return None;
        }
        let update = self.update.as_ref().unwrap_or(&self.read);
        let defined = match name {
            RuleName::Read => &self.read,
            RuleName::Insert => &self.insert,
            RuleName::Update => update,
            RuleName::Delete => self.delete.as_ref().unwrap_or(update),
        };
        let (Rule::Filter(defined), Some(filled)) = (defined, rule.json()) else {
            return Some(Json::Bool(false));
        };
        let holds = |name: &str| {
            let member = filled.get(name)?;
            let alone = Json::Object([(name, member.clone())].into_iter().collect());
            Some(Filter::from_json(layout, &alone).ok()?.matches(row, budget))
        };
        let failed = defined.iter().find(|(name, _)| holds(name) != Some(true));
        Some(failed.map_or(Json::Bool(false), |(name, condition)| {
            Json::Object([(name, condition.clone())].into_iter().collect())
        }))
    }
}

/// Adds the members of `rows` that do not exist.
pub(super) fn unknown_members(rows: &Object, unknown: &mut Unknown) {
    unknown.look("rows", rows, MEMBERS);
}

/// `rows: unknown set "{n}"` for each that is not there.
pub fn unknown_sets(rules: &RowRules, is_set: impl Fn(&str) -> bool) -> Vec<String> {
    let issue = |(member, name): (&str, &str)| format!("rows.{member}: unknown set \"{name}\"");
    rules.set_places().into_iter().filter(|(_, name)| !is_set(name)).map(issue).collect()
}

impl RowRules {
    /// Where each set is mentioned first.
    fn set_places(&self) -> Vec<(&'static str, &str)> {
        let rules = [
            ("read", Some(&self.read)),
            ("insert", Some(&self.insert)),
            ("update", self.update.as_ref()),
            ("delete", self.delete.as_ref()),
        ];
        let mut places = Vec::new();
        for (member, rule) in rules {
            let Some(Rule::Filter(filter)) = rule else { continue };
            let mut check = Check::new(Place::Once);
            check.filter(filter);
            let own = self.sets.iter().filter(|name| check.sets.contains(*name));
            places.extend(own.map(|name| (member, &**name)));
        }
        places
    }
}

struct Parser {
    layout: Layout,
    issues: Vec<String>,
    /// In all members together.
    found: Check,
}

impl Parser {
    fn rule(&mut self, rows: &Object, member: &str, place: Place) -> Option<Rule> {
        let filter = match rows.get(member)? {
            Json::Bool(true) => return Some(Rule::All),
            Json::Bool(false) => return Some(Rule::Nothing),
            Json::Object(filter) => filter,
            _ => {
                self.issues.push(format!("rows.{member}: expected filter or boolean"));
                return None;
            }
        };
        let mut check = Check::new(place);
        check.filter(filter);
        if let Some(template) = &check.unknown {
            self.issues.push(format!("rows.{member}: unknown template \"{template}\""));
            return None;
        }
        if let Err(error) = check_filter(&self.layout, filter) {
            let reason = error.message.strip_prefix("Invalid filter: ").unwrap_or(&error.message);
            self.issues.push(format!("rows.{member}: {reason}"));
            return None;
        }
        self.found.sets.append(&mut check.sets);
        self.found.uses_now |= check.uses_now;
        if member == "read" {
            self.found.null_owner = check.null_owner;
        }
        Some(match filter.is_empty() {
            true => Rule::All,
            false => Rule::Filter(filter.clone()),
        })
    }

    fn set(&mut self, set: Option<&Json>, key: &str, fields: &[Field]) -> Vec<(Box<str>, Json)> {
        let Some(set) = set else { return Vec::new() };
        let Some(set) = set.as_object() else {
            self.issues.push("rows.set: expected object".into());
            return Vec::new();
        };
        for (name, value) in set.iter() {
            let field = fields.iter().find(|field| *field.name == *name);
            let mut check = Check::new(Place::Once);
            check.value(value);
            let issue = match field {
                None => format!("rows.set: unknown field \"{name}\""),
                Some(field) if *name == *key && field.generated.is_some() => {
                    format!("rows.set: field \"{name}\" is the key and generated")
                }
                Some(_) => match check.unknown {
                    Some(template) => format!("rows.set: unknown template \"{template}\""),
                    None => {
                        self.found.uses_now |= check.uses_now;
                        continue;
                    }
                },
            };
            self.issues.push(issue);
        }
        set.iter().map(|(name, value)| (name.into(), value.clone())).collect()
    }

    fn bypass(&mut self, bypass: Option<&Json>) -> Vec<Box<str>> {
        let Some(bypass) = bypass else { return Vec::new() };
        let names = bypass.as_array().and_then(|names| {
            names.iter().map(|name| name.as_str().map(Box::from)).collect::<Option<Vec<_>>>()
        });
        names.unwrap_or_else(|| {
            self.issues.push("rows.bypass: expected array of strings".into());
            Vec::new()
        })
    }
}

fn check_filter(layout: &Layout, filter: &Object) -> Result<(), OpError> {
    let sample = Filter::from_json(layout, &Json::Object(sample(filter)))?;
    bounds::check_conditions(sample.conditions())
}

/// The filter of a set of values: the same language without sets and time.
#[derive(Clone, Debug)]
pub struct SetFilter(Object);

impl SetFilter {
    /// # Errors
    /// The reason.
    pub fn parse(layout: &Layout, filter: &Object) -> Result<SetFilter, String> {
        let mut check = Check::new(Place::Lasting { sets: false });
        check.filter(filter);
        if let Some(template) = check.unknown {
            return Err(format!("unknown template \"{template}\""));
        }
        check_filter(layout, filter).map_err(|error| {
            error.message.strip_prefix("Invalid filter: ").unwrap_or(&error.message).to_owned()
        })?;
        Ok(SetFilter(filter.clone()))
    }

    /// What it selects for a principal.
    ///
    /// # Errors
    /// None: there are no sets in it.
    pub fn fill(&self, who: &Principal<'_>) -> Result<Object, OpError> {
        filter_for(&self.0, who)
    }
}
