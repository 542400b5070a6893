//! Objects that keep the order of their members.

use hashbrown::HashMap;

use super::Json;

/// From this many members on, names are found through a table. A peer can send
/// an object with a hundred thousand members; a linear search for each of them
/// would stall the loop.
const INDEX_FROM: usize = 24;

/// Members in the order in which their names first appeared.
#[derive(Clone, Debug, Default)]
pub struct Object {
    members: Vec<(Box<str>, Json)>,
    index: Option<HashMap<Box<str>, usize>>,
}

impl Object {
    /// An object without members.
    pub fn new() -> Self {
        Self::default()
    }

    /// The same, with room for so many.
    pub fn with_capacity(members: usize) -> Self {
        Self { members: Vec::with_capacity(members), index: None }
    }

    /// How many members there are.
    pub fn len(&self) -> usize {
        self.members.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    fn position(&self, name: &str) -> Option<usize> {
        match &self.index {
            Some(index) => index.get(name).copied(),
            None => self.members.iter().position(|(have, _)| &**have == name),
        }
    }

    /// The value of a member.
    pub fn get(&self, name: &str) -> Option<&Json> {
        self.position(name).and_then(|at| self.members.get(at)).map(|(_, value)| value)
    }

    /// The value of a member, to be changed.
    pub fn get_mut(&mut self, name: &str) -> Option<&mut Json> {
        let at = self.position(name)?;
        self.members.get_mut(at).map(|(_, value)| value)
    }

    /// Whether there is a member of that name.
    pub fn contains(&self, name: &str) -> bool {
        self.position(name).is_some()
    }

    /// Sets a member; an existing one keeps its place. Returns the old value.
    pub fn insert(&mut self, name: impl Into<Box<str>>, value: Json) -> Option<Json> {
        let name = name.into();
        if let Some(at) = self.position(&name)
            && let Some((_, old)) = self.members.get_mut(at)
        {
            return Some(std::mem::replace(old, value));
        }
        let at = self.members.len();
        if let Some(index) = &mut self.index {
            index.insert(name.clone(), at);
        }
        self.members.push((name, value));
        if self.index.is_none() && self.members.len() >= INDEX_FROM {
            self.reindex();
        }
        None
    }

    /// Removes a member; the others keep their order.
    pub fn remove(&mut self, name: &str) -> Option<Json> {
        let at = self.position(name)?;
        let (_, value) = self.members.remove(at);
        if self.index.is_some() {
            self.reindex();
        }
        Some(value)
    }

    /// Keeps the members for which `keep` holds.
    pub fn retain(&mut self, mut keep: impl FnMut(&str, &Json) -> bool) {
        self.members.retain(|(name, value)| keep(name, value));
        if self.index.is_some() {
            self.reindex();
        }
    }

    fn reindex(&mut self) {
        self.index = (self.members.len() >= INDEX_FROM).then(|| {
            self.members.iter().enumerate().map(|(at, (name, _))| (name.clone(), at)).collect()
        });
    }

    /// Names and values, in order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&str, &Json)> {
        self.members.iter().map(|(name, value)| (&**name, value))
    }

    /// The same, with values that may be changed.
    pub fn iter_mut(&mut self) -> impl ExactSizeIterator<Item = (&str, &mut Json)> {
        self.members.iter_mut().map(|(name, value)| (&**name, value))
    }

    /// The names, in order.
    pub fn keys(&self) -> impl ExactSizeIterator<Item = &str> {
        self.members.iter().map(|(name, _)| &**name)
    }

    /// The values, in order.
    pub fn values(&self) -> impl ExactSizeIterator<Item = &Json> {
        self.members.iter().map(|(_, value)| value)
    }
}

impl IntoIterator for Object {
    type Item = (Box<str>, Json);
    type IntoIter = std::vec::IntoIter<(Box<str>, Json)>;

    fn into_iter(self) -> Self::IntoIter {
        self.members.into_iter()
    }
}

impl<N: Into<Box<str>>> FromIterator<(N, Json)> for Object {
    fn from_iter<T: IntoIterator<Item = (N, Json)>>(members: T) -> Self {
        let mut object = Object::new();
        for (name, value) in members {
            object.insert(name, value);
        }
        object
    }
}

/// Equal members, whatever their order.
impl PartialEq for Object {
    fn eq(&self, other: &Self) -> bool {
        self.len() == other.len()
            && self.iter().all(|(name, value)| other.get(name).is_some_and(|have| have == value))
    }
}
