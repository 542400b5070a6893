//! Types for other languages, from the definitions of a server: what
//! `noexd types` prints.
//!
//! Owns what a definition means for a program (which fields a record has, which
//! an insert may leave out, what a parameter has to be) and how TypeScript and
//! Python say it. Knows neither files nor connections: definitions come as JSON,
//! as they were supplied.
//!
//! Files from the ground up; each imports only what stands above its line:
//!
//! 1. `model`, `names`
//! 2. `params`, `python`, `typescript`, `views`
//! 3. `fields`
//! 4. `build`

mod build;
mod fields;
mod model;
mod names;
mod params;
mod python;
mod typescript;
mod views;

use crate::json::{Json, Object};

/// A language that types are printed in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Language {
    TypeScript,
    Python,
}

/// Everything that types are made of, each kind in the order of definition.
#[derive(Clone, Debug, Default)]
pub struct Definitions {
    /// Name and definition of each bucket.
    pub buckets: Object,
    /// Name and configuration of each query; `null` for one that is a program.
    pub queries: Object,
    /// Name and `input` of each procedure; `null` for one that takes anything.
    pub procedures: Object,
    /// Computed fields by bucket: field and its expression.
    pub computed: Object,
    /// Views by name: `from` and `select`.
    pub views: Object,
}

impl Definitions {
    /// Adds a bucket, unless it is one of the server's own.
    pub fn bucket(&mut self, name: &str, definition: Json) {
        if !name.starts_with('_') {
            self.buckets.insert(name, definition);
        }
    }

    /// Adds the computed fields of a bucket, each by its definition.
    pub fn computed(&mut self, bucket: &str, fields: &Json) {
        let fields = fields.as_object().into_iter().flat_map(Object::iter);
        let expr = |field: &Json| field.get("expr").cloned().unwrap_or_default();
        let fields: Object = fields.map(|(name, field)| (name, expr(field))).collect();
        self.computed.insert(bucket, Json::Object(fields));
    }

    /// Adds a procedure by its definition.
    pub fn procedure(&mut self, name: &str, definition: &Json) {
        self.procedures.insert(name, definition.get("input").cloned().unwrap_or_default());
    }

    /// Adds a view by its definition, of which only these two members count.
    pub fn view(&mut self, name: &str, from: Option<&Json>, select: Option<&Json>) {
        let mut view = Object::new();
        view.insert("from", from.cloned().unwrap_or_default());
        view.insert("select", select.cloned().unwrap_or_default());
        self.views.insert(name, Json::Object(view));
    }

    /// 16 hexadecimal digits that stand for all of it.
    fn hash(&self) -> String {
        use sha2::{Digest as _, Sha256};

        let mut text = Vec::new();
        for part in [&self.buckets, &self.queries, &self.procedures, &self.computed, &self.views] {
            Json::Object(part.clone()).write_lossless(&mut text);
            text.push(b'\n');
        }
        let mut digest = data_encoding::HEXLOWER.encode(&Sha256::digest(&text));
        digest.truncate(16);
        digest
    }
}

/// The types of these definitions, as a file of the language.
pub fn generate(definitions: &Definitions, language: Language) -> String {
    let model = model::Model::of(definitions);
    match language {
        Language::TypeScript => typescript::print(&model),
        Language::Python => python::print(&model),
    }
}
