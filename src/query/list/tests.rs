use std::collections::BTreeMap;

use super::*;
use crate::json::{Json, parse};
use crate::store::{Layout, Row, RowBuilder};
use proptest::prelude::*;

fn layout() -> Layout {
    Layout::new(["id", "n"])
}

fn row(id: u64, n: u32) -> Row {
    let layout = layout();
    let mut builder = RowBuilder::new(&layout);
    builder.json("id", &Json::Number(id as f64));
    // Texts of different lengths.
    builder.json("n", &Json::Number(f64::from(n.pow(7))));
    builder.finish()
}

/// What a client does with a delta, as the protocol tells it to.
pub(crate) fn apply_delta(keys: &mut Vec<String>, rows: &mut Vec<Json>, delta: &Json) {
    let list = |name: &str| delta.get(name).and_then(Json::as_array).unwrap_or_default().to_vec();
    let (added, changed) = (list("added"), list("changed"));
    let key = |entry: &Json| entry.get("key").expect("key").to_text();
    let at = |entry: &Json| entry.get("at").and_then(Json::as_number);
    let delete = |keys: &mut Vec<String>, rows: &mut Vec<Json>, gone: &str| {
        let at = keys.iter().position(|have| have == gone).expect("a key that is there");
        keys.remove(at);
        rows.remove(at);
    };
    for gone in list("removed") {
        delete(keys, rows, &gone.to_text());
    }
    for moved in changed.iter().filter(|entry| at(entry).is_some()) {
        delete(keys, rows, &key(moved));
    }
    let mut inserts: Vec<&Json> =
        added.iter().chain(changed.iter().filter(|entry| at(entry).is_some())).collect();
    let ats: Vec<f64> = added.iter().filter_map(at).collect();
    assert!(ats.is_empty() || ats.len() == added.len(), "positions for all or for none");
    assert!(ats.windows(2).all(|pair| pair[0] < pair[1]), "ascending");
    inserts.sort_by_key(|entry| at(entry).map(|at| at as usize));
    for entry in inserts {
        let index = at(entry).map_or(keys.len(), |at| at as usize);
        keys.insert(index, key(entry));
        rows.insert(index, entry.get("row").expect("row").clone());
    }
    for entry in changed.iter().filter(|entry| at(entry).is_none()) {
        let index = keys.iter().position(|have| *have == key(entry)).expect("a key that is there");
        rows[index] = entry.get("row").expect("row").clone();
    }
}

/// What a client has that was sent these.
fn client_of(
    pieces: &mut dyn Iterator<Item = &Piece>,
    projection: &Projection,
) -> (Vec<String>, Vec<Json>) {
    let mut client = (Vec::new(), Vec::new());
    for piece in pieces {
        let (mut key, mut row) = (Vec::new(), Vec::new());
        projection.write_key(piece, &mut key);
        projection.write(piece, &mut row);
        client.0.push(String::from_utf8(key).expect("UTF-8"));
        let row = parse(std::str::from_utf8(&row).expect("UTF-8"), 9).expect("JSON");
        client.1.push(row.to_json());
    }
    client
}

fn delta_of(change: &ListChange, projection: &Projection) -> Json {
    let mut delta = b"{".to_vec();
    change.write(projection, true, &mut delta);
    delta.push(b'}');
    parse(std::str::from_utf8(&delta).expect("UTF-8"), 9).expect("JSON").to_json()
}

#[derive(Clone, Debug)]
struct Step {
    id: u64,
    /// New order and content; `None`: deleted.
    to: Option<(u64, u32)>,
}

fn step() -> impl Strategy<Value = Step> {
    let to = prop::option::weighted(0.65, (0..40u64, 0..9u32));
    (0..40u64, to).prop_map(|(id, to)| Step { id, to })
}

/// The order of a member: something it chooses, then its id.
type Order = u64;

fn order(rank: u64, id: u64) -> Order {
    rank * 1000 + id
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]
    #[test]
    fn changes_lead_from_one_window_to_the_next(
        start in prop::collection::btree_map(0..40u64, (0..40u64, 0..9u32), 0..40),
        batches in prop::collection::vec(prop::collection::vec(step(), 1..8), 1..20),
        offset in 0..6usize,
        limit in prop::option::of(0..9usize),
        reserve in 0..6usize,
        projected in any::<bool>(),
        windows in prop::collection::vec((0..30usize, 1..9usize), 0..5),
    ) {
        let fields: Vec<Box<str>> = if projected { vec!["n".into()] } else { vec![] };
        let projection = Projection::new(&layout(), "id", &fields);
        let mut model: BTreeMap<u64, (u64, u32)> = start;
        let members = |model: &BTreeMap<u64, (u64, u32)>| {
            let mut all: Vec<(Order, Piece)> = model
                .iter()
                .map(|(id, (rank, n))| (order(*rank, *id), Piece::Row(row(*id, *n))))
                .collect();
            all.sort_by_key(|(order, _)| *order);
            all
        };
        let window = Window { offset, limit, reserve };
        let first = members(&model).into_iter().take(window.held()).collect();
        let mut list = List::new(window, model.len(), first, &projection);
        let text = |pieces: &mut dyn Iterator<Item = &Piece>| {
            let mut out = Vec::new();
            write_list(pieces, &projection, &mut out);
            out
        };
        let mut body = text(&mut list.window());
        let (mut keys, mut rows) = client_of(&mut list.window(), &projection);
        let mut spans = Spans::default();
        let mut seers = Vec::new();
        for (offset, limit) in windows {
            let span = Span { offset, limit };
            spans.join(span);
            seers.push((span, client_of(&mut list.span(span), &projection)));
        }
        for batch in batches {
            let mut ops: BTreeMap<u64, Op<Order>> = BTreeMap::new();
            for Step { id, to } in batch {
                let old = model.get(&id).map(|(rank, _)| order(*rank, id));
                let op = ops.entry(id).or_insert(Op { old, new: None });
                op.new = to.map(|(rank, n)| (order(rank, id), Piece::Row(row(id, n))));
                match to {
                    Some(to) => drop(model.insert(id, to)),
                    None => drop(model.remove(&id)),
                }
            }
            let ops = ops.into_values().filter(|op| op.old.is_some() || op.new.is_some());
            let all = members(&model);
            let change = list.apply(ops.collect(), &projection, &spans, &mut |most| {
                all.iter().take(most).cloned().collect()
            });
            let (change, seen) = change.unzip();
            let seen = seen.unwrap_or_default();
            prop_assert_eq!(list.members(), all.len());
            let shown: Vec<Piece> = all
                .iter()
                .skip(offset)
                .take(limit.unwrap_or(usize::MAX))
                .map(|(_, piece)| piece.clone())
                .collect();
            let expected = text(&mut shown.iter());
            prop_assert_eq!(text(&mut list.window()), expected.clone());
            prop_assert_eq!(list.text_len().max(3), expected.len().max(2) + 1);
            for (span, (keys, rows)) in &mut seers {
                let before = rows.clone();
                if let Some(change) = seen.get(*span) {
                    apply_delta(keys, rows, &delta_of(change, &projection));
                    prop_assert!(projected || before != *rows, "a push without a change");
                }
                let shown = shown.iter().skip(span.offset).take(span.limit);
                let fresh = client_of(&mut shown.clone(), &projection);
                prop_assert_eq!((&*keys, &*rows), (&fresh.0, &fresh.1));
                let now = client_of(&mut list.span(*span), &projection);
                prop_assert_eq!(now, fresh);
            }
            match change {
                None => prop_assert_eq!(&body, &expected),
                Some(change) => {
                    let mut patched = Vec::new();
                    patch(&body, &change, &projection, &mut patched);
                    let show = |text: &[u8]| String::from_utf8_lossy(text).into_owned();
                    prop_assert_eq!(show(&patched), show(&expected));
                    prop_assert!(projected || body != patched);
                    apply_delta(&mut keys, &mut rows, &delta_of(&change, &projection));
                    prop_assert_eq!(Json::Array(rows.clone()).to_text(), show(&patched));
                    let ids: Vec<String> = shown.iter().map(|piece| {
                        let mut key = Vec::new();
                        projection.write_key(piece, &mut key);
                        show(&key)
                    }).collect();
                    prop_assert_eq!(&keys, &ids);
                    body = patched;
                }
            }
        }
    }
}
