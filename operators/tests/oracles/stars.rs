//! Star joins, put together from joins and lookups as the engine does, and joins of several sides by one key, against nested loops.
//!
//! Catches: a change that meets a dimension as it was where it should meet it as it is, or the other way round, so that changes of
//! several sides in one epoch are counted twice or not at all; a fact whose key is null on one path and not on another; padding of
//! one side that depends on another; a dimension with several rows per key; an index by one key that misses rows of the other; rows on
//! another worker than what they meet; output of epochs that nobody needs. Cannot catch: a plan that is no star (see the golden plans),
//! or an engine that puts the parts together otherwise (see the golden jobs).

use arrow_schema::{DataType, SchemaRef};
use proptest::prelude::*;
use tidemill_operators::arrange::{Arrangement, arrange, arrange_with_nulls};
use tidemill_operators::join::{self, Follows, Side};
use tidemill_operators::keyed::KeyedLayout;
use tidemill_operators::lookup::{self, Version};
use tidemill_operators::stateless::select;
use tidemill_operators::{Changes, Failure};
use timely::dataflow::operators::Concatenate;

use crate::common::dataflow::{Contents, Feed, Run, run};
use crate::common::{Multiset, Value, Values, accumulated, add, history, ops, schema};

const EPOCHS: usize = 6;

/// Columns of a fact: a unique id, three keys, an amount.
const ID: usize = 0;
const FACT_KEYS: std::ops::Range<usize> = 1..4;
const AMOUNT: usize = 4;

/// The key of a dimension.
const KEY: usize = 0;

type History = Vec<Vec<(Values, i64)>>;

fn fact_schema() -> SchemaRef {
    schema(&[
        ("id", DataType::Int64),
        ("hub", DataType::Int64),
        ("second", DataType::Int64),
        ("third", DataType::Int64),
        ("amount", DataType::Int64),
    ])
}

fn dimension_schema() -> SchemaRef {
    schema(&[("key", DataType::Int64), ("label", DataType::Int64)])
}

fn schema_of(side: usize) -> SchemaRef {
    if side == 0 {
        fact_schema()
    } else {
        dimension_schema()
    }
}

/// A dimension: the fact's column that it is joined on, and whether facts without it are kept.
#[derive(Debug, Clone, Copy)]
struct Dimension {
    on: usize,
    optional: bool,
}

/// A column of the star: of which side, the fact being the first, and which one of it.
type Column = (usize, usize);

fn columns_of(side: usize) -> Vec<Column> {
    let count = schema_of(side).fields().len();
    (0..count).map(|column| (side, column)).collect()
}

/// Columns by their places.
fn numbered(count: usize) -> SchemaRef {
    let names: Vec<String> = (0..count).map(|i| i.to_string()).collect();
    let fields = names.iter().map(|name| (name.as_str(), DataType::Int64));
    schema(&fields.collect::<Vec<_>>())
}

/// The part of the star's change that begins at one side, with the sides that were met so far.
struct Path<'scope> {
    rows: Changes<'scope>,
    columns: Vec<Column>,
}

impl Path<'_> {
    fn position(&self, column: Column) -> usize {
        let position = self.columns.iter().position(|&known| known == column);
        position.expect("a path has met the side whose columns it uses")
    }
}

/// The parts of a star: arrangements of the fact and of the dimensions, from 1.
struct Star<'a, 'scope> {
    facts: Changes<'scope>,
    sides: Vec<Side<'scope>>,
    dimensions: Vec<Dimension>,
    unneeded_through: Option<u64>,
    failure: &'a Failure,
}

impl<'a, 'scope> Star<'a, 'scope> {
    fn new(
        mut inputs: Vec<Changes<'scope>>,
        dimensions: &[Dimension],
        unneeded_through: Option<u64>,
        failure: &'a Failure,
    ) -> Self {
        let facts = inputs.remove(0);
        let hub = dimensions[0].on;
        let layout = KeyedLayout::ordered(&fact_schema(), &[fact_name(hub)], &["id".to_owned()]);
        let layout = layout.expect("the schema has the columns");
        let mut sides = vec![Side {
            arrangement: arrange_with_nulls(facts.clone(), layout, "facts", failure)
                .expect("keys have encodings"),
            padded: false,
        }];
        sides.extend(
            inputs
                .into_iter()
                .zip(dimensions)
                .map(|(rows, dimension)| Side {
                    arrangement: by_key(rows, failure),
                    padded: dimension.optional,
                }),
        );
        Self {
            facts,
            sides,
            dimensions: dimensions.to_vec(),
            unneeded_through,
            failure,
        }
    }

    /// The dimensions that join in the hub, and those that are looked up.
    fn partition(&self) -> (Vec<usize>, Vec<usize>) {
        let hub = self.dimensions[0].on;
        (1..=self.dimensions.len()).partition(|&number| self.dimensions[number - 1].on == hub)
    }

    fn changes(&self) -> Changes<'scope> {
        let (_, looked_up) = self.partition();
        let mut path = self.hub();
        for &number in &looked_up {
            path = self.meet(path, number, Version::After);
        }
        let mut outputs = vec![self.in_order(&path)];
        for &changed in &looked_up {
            let mut path = self.changes_of(changed);
            for &number in looked_up.iter().filter(|&&number| number != changed) {
                let version = if number < changed {
                    Version::After
                } else {
                    Version::Before
                };
                path = self.meet(path, number, version);
            }
            outputs.push(self.in_order(&path));
        }
        let scope = self.facts.scope();
        scope.concatenate(outputs)
    }

    /// The changes of the fact joined with the dimensions of its first key.
    fn hub(&self) -> Path<'scope> {
        let mut sides = vec![self.sides[0].clone()];
        let mut columns = columns_of(0);
        for number in self.partition().0 {
            sides.push(self.sides[number].clone());
            columns.extend(columns_of(number));
        }
        let rows = self.join(sides, columns.len(), Follows::AllSides);
        Path { rows, columns }
    }

    /// The changes of a dimension joined with the hub as it was before.
    fn changes_of(&self, changed: usize) -> Path<'scope> {
        let key = self.dimensions[changed - 1].on;
        let narrow = vec![key, self.dimensions[0].on, ID];
        let projected = fact_schema().project(&narrow).map(std::sync::Arc::new);
        let projected = projected.expect("these are columns");
        let rows = select(self.facts.clone(), narrow.clone(), projected.clone());
        let layout = KeyedLayout::new(&projected, &[fact_name(key)]);
        let layout = layout.expect("the schema has the column");
        let index = Side {
            arrangement: arrange(rows, layout, "index", self.failure).expect("keys have encodings"),
            padded: false,
        };
        let mut columns: Vec<Column> = narrow.into_iter().map(|column| (0, column)).collect();
        columns.extend(columns_of(changed));
        let sides = vec![index, self.sides[changed].clone()];
        let rows = self.join(sides, columns.len(), Follows::LastSide);
        let mut path = self.meet(Path { rows, columns }, 0, Version::Before);
        for number in self.partition().0 {
            path = self.meet(path, number, Version::Before);
        }
        path
    }

    fn join(&self, sides: Vec<Side<'scope>>, columns: usize, follows: Follows) -> Changes<'scope> {
        let settings = join::Settings {
            name: format!("{follows:?}"),
            output: numbered(columns),
            follows,
            unneeded_through: self.unneeded_through,
        };
        join::join(sides, settings, self.failure).expect("types have encodings")
    }

    fn meet(&self, path: Path<'scope>, number: usize, version: Version) -> Path<'scope> {
        let on = self.dimensions[number.max(1) - 1].on;
        let within_key = (number == 0).then(|| path.position((0, ID)));
        let side = self.sides[number].clone();
        let mut columns = path.columns.clone();
        columns.extend(columns_of(number));
        let settings = lookup::Settings {
            name: format!("meets {number} {version:?}"),
            key: vec![path.position((0, on))],
            within_key: within_key.into_iter().collect(),
            version,
            padded: side.padded,
            output: numbered(columns.len()),
            unneeded_through: self.unneeded_through,
        };
        let schema = numbered(path.columns.len());
        let rows = lookup::lookup(path.rows, &schema, side.arrangement, settings, self.failure);
        let rows = rows.expect("types have encodings");
        Path { rows, columns }
    }

    /// A path's rows as rows of the star.
    fn in_order(&self, path: &Path<'scope>) -> Changes<'scope> {
        let order: Vec<usize> = (0..=self.dimensions.len())
            .flat_map(columns_of)
            .map(|column| path.position(column))
            .collect();
        let output = numbered(order.len());
        select(path.rows.clone(), order, output)
    }
}

fn fact_name(column: usize) -> String {
    fact_schema().field(column).name().clone()
}

fn by_key<'scope>(rows: Changes<'scope>, failure: &Failure) -> Arrangement<'scope> {
    let layout = KeyedLayout::new(&dimension_schema(), &["key".to_owned()]);
    let layout = layout.expect("the schema has the column");
    arrange(rows, layout, "dimension", failure).expect("keys have encodings")
}

/// A star by definition: each fact with every row of each dimension that has its key, or with nulls.
fn nested_loops(facts: &Multiset, dimensions: &[(Dimension, &Multiset)]) -> Multiset {
    let mut joined = facts.clone();
    for (dimension, rows) in dimensions {
        let mut longer = Multiset::new();
        for (row, count) in &joined {
            let is_match = |other: &&Values| other[KEY] == row[dimension.on];
            let mut matches = rows.keys().filter(is_match).peekable();
            let has_match = row[dimension.on] != Value::Null && matches.peek().is_some();
            if has_match {
                for other in matches {
                    let both = [row.as_slice(), other].concat();
                    add(&mut longer, both, count * rows[other]);
                }
            } else if dimension.optional {
                let nulls = vec![Value::Null; dimension_schema().fields().len()];
                add(&mut longer, [row.as_slice(), &nulls].concat(), *count);
            }
        }
        joined = longer;
    }
    joined
}

/// A join by one key by definition: for each key the product of the sides' rows, a padded side without one having a row of nulls.
fn product_by_key(sides: &[(bool, &Multiset)]) -> Multiset {
    let nulls = vec![Value::Null; dimension_schema().fields().len()];
    let keys: std::collections::BTreeSet<&Value> = (sides.iter())
        .flat_map(|(_, rows)| rows.keys().map(|row| &row[KEY]))
        .filter(|key| **key != Value::Null)
        .collect();
    let mut all = Multiset::new();
    for key in keys {
        let mut product = Multiset::from([(Values::new(), 1)]);
        for (padded, rows) in sides {
            let mut of_key: Vec<(&Values, i64)> = (rows.iter())
                .filter(|(row, _)| row[KEY] == *key)
                .map(|(row, count)| (row, *count))
                .collect();
            if of_key.is_empty() && *padded {
                of_key.push((&nulls, 1));
            }
            let mut longer = Multiset::new();
            for (row, count) in &product {
                for (other, others) in &of_key {
                    let both = [row.as_slice(), other].concat();
                    add(&mut longer, both, count * others);
                }
            }
            product = longer;
        }
        all.extend(product);
    }
    for (i, (_, rows)) in sides.iter().enumerate() {
        let is_kept = (0..).zip(sides).all(|(j, (padded, _))| j == i || *padded);
        for (row, count) in rows
            .iter()
            .filter(|(row, _)| is_kept && row[KEY] == Value::Null)
        {
            let mut parts = vec![nulls.clone(); sides.len()];
            parts[i].clone_from(row);
            add(&mut all, parts.concat(), *count);
        }
    }
    all
}

/// Nothing comes out up to `unneeded_through`; behind it, each epoch brings the change of what is `expected`.
fn assert_changes(found: &[Multiset], expected: &[Multiset], unneeded_through: Option<u64>) {
    let skipped = unneeded_through.map_or(0, |epoch| usize::try_from(epoch).expect("few"));
    let unseen = skipped.checked_sub(1).map(|last| &expected[last]);
    for (epoch, (found, expected)) in (1..).zip(found.iter().zip(expected)) {
        let mut wanted = Multiset::new();
        if epoch > skipped {
            wanted.clone_from(expected);
            for (row, count) in unseen.into_iter().flatten() {
                add(&mut wanted, row.clone(), -count);
            }
        }
        assert_eq!(
            found, &wanted,
            "after epoch {epoch}, unneeded through {unneeded_through:?}"
        );
    }
}

fn check_star(
    facts: &History,
    dimensions: &[(Dimension, History)],
    unneeded_through: Option<u64>,
    how: &Run,
) {
    let fact_rows = accumulated(facts);
    let of_dimensions: Vec<_> = (dimensions.iter())
        .map(|(dimension, history)| (*dimension, accumulated(history)))
        .collect();
    let after = |(epoch, facts): (usize, &Multiset)| {
        let dimensions: Vec<_> = (of_dimensions.iter())
            .map(|(dimension, rows)| (*dimension, &rows[epoch]))
            .collect();
        nested_loops(facts, &dimensions)
    };
    let expected: Vec<Multiset> = fact_rows.iter().enumerate().map(after).collect();
    let feeds: Vec<Feed> = std::iter::once(facts)
        .chain(dimensions.iter().map(|(_, history)| history))
        .enumerate()
        .map(|(side, epochs)| Feed {
            schema: schema_of(side),
            epochs: epochs.clone(),
        })
        .collect();
    let shape: Vec<Dimension> = dimensions.iter().map(|(dimension, _)| *dimension).collect();
    let contents: Contents = run(how, &feeds, 1, move |inputs, _, failure| {
        vec![Star::new(inputs, &shape, unneeded_through, failure).changes()]
    });
    assert_changes(&contents[0], &expected, unneeded_through);
}

fn check_join(sides: &[(bool, History)], unneeded_through: Option<u64>, how: &Run) {
    let rows: Vec<_> = (sides.iter())
        .map(|(padded, history)| (*padded, accumulated(history)))
        .collect();
    let after = |epoch: usize| {
        let sides: Vec<_> = rows
            .iter()
            .map(|(padded, rows)| (*padded, &rows[epoch]))
            .collect();
        product_by_key(&sides)
    };
    let expected: Vec<Multiset> = (0..sides[0].1.len()).map(after).collect();
    let feed = |(_, epochs): &(bool, History)| Feed {
        schema: dimension_schema(),
        epochs: epochs.clone(),
    };
    let feeds: Vec<Feed> = sides.iter().map(feed).collect();
    let padded: Vec<bool> = sides.iter().map(|(padded, _)| *padded).collect();
    let contents = run(how, &feeds, 1, move |inputs, _, failure| {
        let sides: Vec<Side<'_>> = (inputs.into_iter().zip(&padded))
            .map(|(rows, &padded)| Side {
                arrangement: by_key(rows, failure),
                padded,
            })
            .collect();
        let settings = join::Settings {
            name: "join".to_owned(),
            output: numbered(sides.len() * dimension_schema().fields().len()),
            follows: Follows::AllSides,
            unneeded_through,
        };
        vec![join::join(sides, settings, failure).expect("types have encodings")]
    });
    assert_changes(&contents[0], &expected, unneeded_through);
}

/// A key of which there are few; sometimes null.
fn foreign_key() -> impl Strategy<Value = Value> {
    prop::option::weighted(0.8, 0..3_i64).prop_map(Value::from)
}

/// Facts that are set and taken away by id, several times in an epoch too.
fn facts() -> impl Strategy<Value = History> {
    let row = (
        foreign_key(),
        foreign_key(),
        foreign_key(),
        (0..3_i64).prop_map(Value::int),
    );
    let row = row.prop_map(|(hub, second, third, amount)| vec![hub, second, third, amount]);
    let set = (0..5_i64, prop::option::weighted(0.8, row));
    let epochs = prop::collection::vec(prop::collection::vec(set, 0..5), EPOCHS);
    epochs.prop_map(|epochs| {
        let mut standing = std::collections::BTreeMap::new();
        let mut changes = |(id, row): (i64, Option<Values>)| {
            let new = row.map(|row| [vec![Value::int(id)], row].concat());
            let old = match new.clone() {
                Some(new) => standing.insert(id, new),
                None => standing.remove(&id),
            };
            old.map(|old| (old, -1))
                .into_iter()
                .chain(new.map(|new| (new, 1)))
                .collect::<Vec<_>>()
        };
        epochs
            .into_iter()
            .map(|sets| sets.into_iter().flat_map(&mut changes).collect())
            .collect()
    })
}

/// Rows of a dimension: some keys have several, some rows are there twice.
fn dimension_rows() -> impl Strategy<Value = History> {
    let row = (foreign_key(), 0..3_i64).prop_map(|(key, label)| vec![key, Value::int(label)]);
    ops(row, EPOCHS..EPOCHS + 1, 4).prop_map(|ops| history(&ops))
}

fn dimension() -> impl Strategy<Value = (Dimension, History)> {
    (FACT_KEYS, any::<bool>(), dimension_rows())
        .prop_map(|(on, optional, rows)| (Dimension { on, optional }, rows))
}

fn unneeded() -> impl Strategy<Value = Option<u64>> {
    prop::option::weighted(0.3, 0..=EPOCHS as u64)
}

fn how() -> impl Strategy<Value = Run> {
    let schedule = prop::collection::vec(0..8_usize, 0..40);
    (1..3_usize, 1..4_usize, schedule).prop_map(|(workers, batch_rows, schedule)| Run {
        workers,
        batch_rows,
        schedule,
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(192))]

    #[test]
    fn a_star_of_three_keys_holds_what_nested_loops_give_after_each_epoch(
        facts in facts(),
        optional in any::<[bool; 3]>(),
        rows in [dimension_rows(), dimension_rows(), dimension_rows()],
        how in how(),
    ) {
        let dimensions: Vec<_> = (FACT_KEYS.zip(optional).zip(rows))
            .map(|((on, optional), rows)| (Dimension { on, optional }, rows))
            .collect();
        check_star(&facts, &dimensions, None, &how);
    }

    #[test]
    fn a_star_of_any_shape_is_right_in_every_epoch_that_somebody_needs(
        facts in facts(),
        dimensions in prop::collection::vec(dimension(), 2..5),
        unneeded_through in unneeded(),
        how in how(),
    ) {
        check_star(&facts, &dimensions, unneeded_through, &how);
    }

    #[test]
    fn a_join_of_several_sides_by_one_key_holds_the_product_of_each_key_after_each_epoch(
        sides in prop::collection::vec((any::<bool>(), dimension_rows()), 3..5),
        unneeded_through in unneeded(),
        how in how(),
    ) {
        check_join(&sides, unneeded_through, &how);
    }
}

fn fact(id: i64, keys: [Option<i64>; 3]) -> Values {
    let keys = keys.map(Value::from);
    let mut fact = [vec![Value::int(id)], keys.to_vec()].concat();
    fact.insert(AMOUNT, Value::int(id * 10));
    fact
}

fn labelled(key: i64, label: i64) -> Values {
    vec![Value::int(key), Value::int(label)]
}

fn both_numbers_of_workers(check: impl Fn(&Run)) {
    for workers in [1, 2] {
        check(&Run {
            workers,
            batch_rows: 2,
            schedule: Vec::new(),
        });
    }
}

fn three_optional(rows: [History; 3]) -> Vec<(Dimension, History)> {
    let dimension = |(on, rows)| (Dimension { on, optional: true }, rows);
    FACT_KEYS.zip(rows).map(dimension).collect()
}

#[test]
fn a_fact_without_a_hub_key_follows_its_other_dimensions() {
    let facts = vec![
        vec![(fact(1, [None, Some(5), Some(6)]), 1)],
        vec![],
        vec![],
        vec![(fact(1, [None, Some(5), Some(6)]), -1)],
    ];
    let second = vec![
        vec![],
        vec![(labelled(5, 1), 1)],
        vec![(labelled(5, 1), -1), (labelled(5, 2), 1)],
        vec![(labelled(5, 2), -1)],
    ];
    let third = vec![vec![], vec![], vec![(labelled(6, 3), 1)], vec![]];
    let dimensions = three_optional([vec![vec![]; 4], second, third]);
    both_numbers_of_workers(|how| check_star(&facts, &dimensions, None, how));
}

#[test]
fn a_fact_and_all_that_it_meets_may_come_change_and_go_in_one_epoch() {
    let row = fact(1, [Some(4), Some(5), Some(6)]);
    let moved = fact(1, [Some(4), Some(6), Some(5)]);
    let facts = vec![
        vec![(row.clone(), 1)],
        vec![(row, -1), (moved.clone(), 1)],
        vec![(moved, -1)],
    ];
    let rows = |keys: &[i64]| {
        let all = |label, diff| {
            let row = move |&key: &i64| (labelled(key, label), diff);
            keys.iter().map(row).collect::<Vec<_>>()
        };
        vec![all(1, 1), [all(1, -1), all(2, 1)].concat(), all(2, -1)]
    };
    let dimensions = three_optional([rows(&[4]), rows(&[5, 6]), rows(&[5, 6])]);
    both_numbers_of_workers(|how| check_star(&facts, &dimensions, None, how));
}

#[test]
fn a_product_larger_than_a_batch_is_whole() {
    let rows = |count| (0..count).map(|label| (labelled(1, label), 1)).collect();
    let sides = [
        (false, vec![rows(100), vec![]]),
        (true, vec![vec![], rows(100)]),
        (true, vec![rows(1), rows(1)]),
    ];
    both_numbers_of_workers(|how| check_join(&sides, None, how));
}
