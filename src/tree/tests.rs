use super::*;
use proptest::prelude::*;

#[derive(Clone, Debug)]
enum Step {
    Insert(u32, u32),
    Remove(u32),
    Replace(u32, u32),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let key = 0..4000u32;
    let weight = 0..1000u32;
    prop::collection::vec(
        prop_oneof![
            4 => (key.clone(), weight.clone()).prop_map(|(k, w)| Step::Insert(k, w)),
            3 => key.clone().prop_map(Step::Remove),
            1 => (key, weight).prop_map(|(k, w)| Step::Replace(k, w)),
        ],
        0..3000,
    )
}

fn entry(key: u32, weight: u32) -> Entry<u32, u32> {
    Entry { key, value: key * 2, weight }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn behaves_like_a_sorted_list(start in 0..3000u32, steps in steps()) {
        let mut model: Vec<Entry<u32, u32>> = (0..start).map(|k| entry(k, k % 7)).collect();
        let mut tree = Tree::from_sorted(model.iter().cloned());
        tree.check();
        for step in steps {
            match step {
                Step::Insert(key, weight) => {
                    let at = model.partition_point(|e| e.key < key);
                    if model.get(at).is_some_and(|e| e.key == key) {
                        model.remove(at);
                    }
                    model.insert(at, entry(key, weight));
                    prop_assert_eq!(tree.insert(key, key * 2, weight), at);
                }
                Step::Remove(key) => {
                    let at = model.iter().position(|e| e.key == key);
                    let expected = at.map(|at| (at, model.remove(at)));
                    prop_assert_eq!(tree.remove(&key), expected);
                }
                Step::Replace(key, weight) => {
                    let have = model.iter_mut().find(|e| e.key == key);
                    let expected = have.map(|e| {
                        e.weight = weight;
                        std::mem::replace(&mut e.value, weight)
                    });
                    prop_assert_eq!(tree.replace(&key, weight, weight), expected);
                }
            }
        }
        tree.check();
        prop_assert_eq!(tree.len(), model.len());
        prop_assert!(tree.iter().eq(model.iter()));
        prop_assert_eq!(tree.first(), model.first());
        prop_assert_eq!(tree.last(), model.last());
        for rank in (0..model.len() + 2).step_by(37) {
            prop_assert!(tree.iter_from(rank).eq(model.iter().skip(rank)));
            prop_assert_eq!(tree.at(rank), model.get(rank));
            let before: u64 = model.iter().take(rank).map(|e| u64::from(e.weight)).sum();
            prop_assert_eq!(tree.weight_before(rank), before);
        }
        for key in (0..4100).step_by(41) {
            let rank = model.partition_point(|e| e.key < key);
            let before = model.iter().take(rank).map(|e| u64::from(e.weight)).sum();
            let found = model.get(rank).is_some_and(|e| e.key == key);
            prop_assert_eq!(tree.locate(&key), Place { rank, before, found });
        }
    }
}

#[test]
fn appending_fills_leaves_and_draining_frees_them() {
    let mut tree = Tree::new();
    for key in 0..10_000u32 {
        tree.insert(key, (), 1);
    }
    tree.check();
    assert!(tree.leaves <= 10_000 / LEAF + 1);
    for key in 0..10_000u32 {
        assert_eq!(tree.remove(&key).map(|(rank, _)| rank), Some(0));
    }
    tree.check();
    assert_eq!((tree.len(), tree.weight(), tree.leaves), (0, 0, 1));
}
