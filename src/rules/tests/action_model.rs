//! Random trees of actions against a naive interpreter: the engine keeps its
//! place on a stack of its own, the model simply calls itself.

use proptest::prelude::*;

use super::*;

#[derive(Clone, Debug)]
enum Tree {
    /// Tells where it is: its number and what the variables are.
    Mark(u8),
    Fail(u8),
    /// Sets the second rule off.
    Emit,
    If(bool, Vec<Tree>, Option<Vec<Tree>>),
    /// Over so many elements, as `x` or as `y`.
    Each(u8, bool, Vec<Tree>),
    /// Over something that is no array.
    BadEach,
    /// The catch list may name its variable.
    Try(Vec<Tree>, Option<(bool, Vec<Tree>)>, Option<Vec<Tree>>),
}

fn trees() -> impl Strategy<Value = Vec<Tree>> {
    let leaf = prop_oneof![
        5 => any::<u8>().prop_map(Tree::Mark),
        2 => (0..3u8).prop_map(Tree::Fail),
        1 => Just(Tree::Emit),
        1 => Just(Tree::BadEach),
    ];
    let tree = leaf.prop_recursive(4, 40, 4, |inner| {
        // Neither empty: validation would refuse some of them.
        let list = || proptest::collection::vec(inner.clone(), 1..4);
        let catch = || proptest::option::of((any::<bool>(), list()));
        prop_oneof![
            (any::<bool>(), list(), proptest::option::of(list()))
                .prop_map(|(holds, then, other)| Tree::If(holds, then, other)),
            (0..3u8, any::<bool>(), list()).prop_map(|(n, x, list)| Tree::Each(n, x, list)),
            (list(), catch(), proptest::option::of(list())).prop_map(|(list, catch, finally)| {
                let finally = finally.or_else(|| catch.is_none().then(|| vec![Tree::Mark(0)]));
                Tree::Try(list, catch, finally)
            }),
        ]
    });
    proptest::collection::vec(tree, 1..5)
}

fn list(trees: &[Tree]) -> String {
    let actions: Vec<String> = trees.iter().map(action).collect();
    format!("[{}]", actions.join(","))
}

fn action(tree: &Tree) -> String {
    match tree {
        Tree::Mark(number) => format!(
            r#"{{"type":"call_service","service":"store","method":"insert","args":[{number},{{"ref":"var.x"}},
                {{"ref":"var.x_index"}},{{"ref":"var.y"}},{{"ref":"var.e.message"}}]}}"#
        ),
        Tree::Fail(number) => {
            format!(r#"{{"type":"call_service","service":"none{number}","method":"m"}}"#)
        }
        Tree::Emit => r#"{"type":"emit_event","topic":"second","data":{"t":true}}"#.into(),
        Tree::If(holds, then, other) => {
            let other = other.as_ref().map(|other| format!(r#","else":{}"#, list(other)));
            format!(
                r#"{{"type":"conditional","conditions":[{{"source":{{"type":"event","field":"t"}},"operator":"eq","value":{holds}}}],
                    "then":{}{}}}"#,
                list(then),
                other.unwrap_or_default()
            )
        }
        Tree::Each(count, x, actions) => {
            let items: Vec<String> = (0..*count).map(|n| format!(r#""i{n}""#)).collect();
            format!(
                r#"{{"type":"for_each","collection":[{}],"as":"{}","actions":{}}}"#,
                items.join(","),
                if *x { "x" } else { "y" },
                list(actions)
            )
        }
        Tree::BadEach => {
            r#"{"type":"for_each","collection":{"ref":"event.t"},"as":"x","actions":[]}"#.into()
        }
        Tree::Try(attempt, catch, finally) => {
            let catch = catch.as_ref().map(|(named, actions)| {
                let name = if *named { r#""as":"e","# } else { "" };
                format!(r#","catch":{{{name}"actions":{}}}"#, list(actions))
            });
            let finally = finally.as_ref().map(|list_| format!(r#","finally":{}"#, list(list_)));
            format!(
                r#"{{"type":"try_catch","try":{}{}{}}}"#,
                list(attempt),
                catch.unwrap_or_default(),
                finally.unwrap_or_default()
            )
        }
    }
}

#[derive(Clone, Default)]
struct Vars {
    x: Option<(String, u8)>,
    y: Option<String>,
    e: Option<String>,
}

struct Naive<'t> {
    second: &'t [Tree],
    trace: Vec<String>,
}

impl Naive<'_> {
    fn list(&mut self, trees: &[Tree], vars: &mut Vars) {
        for tree in trees {
            // Goes on after a failure.
            let _ = self.act(tree, vars);
        }
    }

    fn act(&mut self, tree: &Tree, vars: &mut Vars) -> Result<(), String> {
        match tree {
            Tree::Mark(number) => {
                let text = |text: Option<&String>| match text {
                    Some(text) => Json::from(text.as_str()).to_text(),
                    None => "null".into(),
                };
                let (x, y, e) = (
                    text(vars.x.as_ref().map(|(x, _)| x)),
                    text(vars.y.as_ref()),
                    text(vars.e.as_ref()),
                );
                let at = vars.x.as_ref().map_or("null".into(), |(_, at)| at.to_string());
                self.trace.push(format!("[{number},{x},{at},{y},{e}]"));
            }
            Tree::Fail(number) => return Err(format!("Service not found: none{number}")),
            Tree::BadEach => {
                return Err("for_each: collection must be an array, got boolean".into());
            }
            Tree::Emit => {
                let second = self.second;
                if !second.is_empty() {
                    // Its own emits lead nowhere: the model has one level.
                    let before = std::mem::take(&mut self.second);
                    self.list(second, &mut Vars::default());
                    self.second = before;
                }
            }
            Tree::If(holds, then, other) => {
                if *holds {
                    self.list(then, vars);
                } else if let Some(other) = other {
                    self.list(other, vars);
                }
            }
            Tree::Each(count, x, actions) => {
                let outer = vars.clone();
                for at in 0..*count {
                    if *x {
                        vars.x = Some((format!("i{at}"), at));
                    } else {
                        vars.y = Some(format!("i{at}"));
                    }
                    self.list(actions, vars);
                }
                *vars = outer;
            }
            Tree::Try(attempt, catch, finally) => {
                let failed = attempt.iter().find_map(|tree| self.act(tree, vars).err());
                if let (Some(text), Some((named, actions))) = (failed, catch) {
                    let outer = vars.clone();
                    if *named {
                        vars.e = Some(text);
                    }
                    self.list(actions, vars);
                    *vars = outer;
                }
                if let Some(finally) = finally {
                    self.list(finally, vars);
                }
            }
        }
        Ok(())
    }
}

fn without_emits(trees: &[Tree]) -> Vec<Tree> {
    let inner = |trees: &Vec<Tree>| without_emits(trees);
    let replace = |tree: &Tree| match tree {
        Tree::Emit => Tree::Mark(7),
        Tree::If(holds, then, other) => Tree::If(*holds, inner(then), other.as_ref().map(inner)),
        Tree::Each(count, x, list) => Tree::Each(*count, *x, inner(list)),
        Tree::Try(attempt, catch, finally) => Tree::Try(
            inner(attempt),
            catch.as_ref().map(|(named, list)| (*named, inner(list))),
            finally.as_ref().map(inner),
        ),
        other => other.clone(),
    };
    trees.iter().map(replace).collect()
}

proptest! {
    #[test]
    fn actions_agree_with_the_naive_interpreter(first in trees(), second in trees()) {
        let second = without_emits(&second);
        let mut world = World::new();
        world.on("first", "first", &list(&first));
        world.on("second", "second", &list(&second));
        world.emit("first", r#"{"t":true}"#);
        let trace: Vec<String> = world
            .host
            .stored
            .drain(..)
            .map(|(_, args)| Json::Array(args).to_text())
            .collect();
        let mut naive = Naive { second: &second, trace: Vec::new() };
        naive.list(&first, &mut Vars::default());
        prop_assert_eq!(trace, naive.trace);
    }
}
