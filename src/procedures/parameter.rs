//! The types of a procedure's parameters.

use crate::json::Json;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ParameterType {
    String,
    Number,
    Boolean,
    Object,
    Array,
}

impl ParameterType {
    pub const ALL: [(&'static str, ParameterType); 5] = [
        ("string", ParameterType::String),
        ("number", ParameterType::Number),
        ("boolean", ParameterType::Boolean),
        ("object", ParameterType::Object),
        ("array", ParameterType::Array),
    ];

    pub fn from_name(name: &str) -> Option<ParameterType> {
        ParameterType::ALL.iter().find(|(known, _)| *known == name).map(|(_, kind)| *kind)
    }

    pub fn as_str(self) -> &'static str {
        ParameterType::ALL.iter().find(|(_, kind)| *kind == self).map_or("", |(name, _)| name)
    }

    pub fn accepts(self, value: &Json) -> bool {
        match self {
            ParameterType::String => matches!(value, Json::String(_)),
            ParameterType::Number => matches!(value, Json::Number(_)),
            ParameterType::Boolean => matches!(value, Json::Bool(_)),
            ParameterType::Object => matches!(value, Json::Object(_)),
            ParameterType::Array => matches!(value, Json::Array(_)),
        }
    }
}
