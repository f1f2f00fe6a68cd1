//! Renders a star join.
//!
//! It keeps its sides and nothing between them. Its dimensions that share the first one's key join the fact in one operator, the
//! *hub*; every other dimension is looked up. With the dimensions d1, d2, … that are looked up, the change of the whole in an epoch is
//! `Δd1 × d2 before × … × hub before + d1 after × Δd2 × … × hub before + … + d1 after × d2 after × … × Δhub`, so there is one *path* for
//! the hub's changes and one for those of each dimension. A dimension's change finds the fact's rows through a narrow index: the
//! dimension's key to the hub's key and the fact's unique columns.

use std::sync::Arc;

use arrow_schema::{Field, Schema, SchemaRef};
use tidemill_jobs::plan::{Node, NodeId, StarJoin};
use tidemill_operators::arrange::{Arrangement, arrange};
use tidemill_operators::join::{Follows, Side};
use tidemill_operators::keyed::KeyedLayout;
use tidemill_operators::lookup::{self, Version};
use tidemill_operators::stateless::select;
use tidemill_operators::{Changes, join};

use super::Renderer;
use super::arranged::Index;
use crate::Error;

/// A column of a star join: of the fact (0) or of a dimension (from 1), and which one.
type StarColumn = (usize, usize);

/// The part of the join's change that begins at one side, with the sides that were met so far.
struct Path<'scope> {
    rows: Changes<'scope>,
    columns: Vec<StarColumn>,
}

impl Path<'_> {
    fn position(&self, column: StarColumn) -> usize {
        let position = self.columns.iter().position(|&known| known == column);
        position.expect("a path has met the side whose columns it uses")
    }
}

/// A star join while it is rendered.
struct Star<'a> {
    node: &'a Node,
    stage: &'a StarJoin,
    /// Numbers of the dimensions, from 1, that join in the hub.
    hub: Vec<usize>,
    /// Numbers of those that are looked up.
    looked_up: Vec<usize>,
}

impl<'a> Star<'a> {
    fn new(node: &'a Node, stage: &'a StarJoin) -> Self {
        let dimensions = &stage.dimensions;
        let is_in_hub = |number: &usize| {
            let keys = |number: usize| dimensions[number - 1].on.iter().map(|(fact, _)| fact);
            keys(*number).eq(keys(1))
        };
        let (hub, looked_up) = (1..=dimensions.len()).partition(is_in_hub);
        Self {
            node,
            stage,
            hub,
            looked_up,
        }
    }

    fn input(&self, side: usize) -> NodeId {
        match side.checked_sub(1) {
            None => self.stage.fact,
            Some(dimension) => self.stage.dimensions[dimension].input,
        }
    }

    /// The fact's columns that a dimension is joined on, and the dimension's.
    fn on(&self, number: usize) -> (Vec<String>, Vec<String>) {
        self.stage.dimensions[number - 1].on.iter().cloned().unzip()
    }

    fn name(&self, part: impl std::fmt::Display) -> String {
        format!("{} {part}", self.node.name)
    }
}

impl<'scope> Renderer<'_, 'scope> {
    pub(super) fn star_join(
        &mut self,
        id: NodeId,
        node: &Node,
        stage: &StarJoin,
    ) -> Result<Changes<'scope>, Error> {
        let star = Star::new(node, stage);
        let unneeded = self.unneeded_through(id);
        let mut path = self.hub(&star, unneeded)?;
        for &number in &star.looked_up {
            path = self.look_up(&star, path, number, Version::After, unneeded)?;
        }
        let mut outputs = vec![self.in_order(&star, &path)];
        for &changed in &star.looked_up {
            let mut path = self.changes_of(&star, changed, unneeded)?;
            for &number in star.looked_up.iter().filter(|&&number| number != changed) {
                let version = if number < changed {
                    Version::After
                } else {
                    Version::Before
                };
                path = self.look_up(&star, path, number, version, unneeded)?;
            }
            outputs.push(self.in_order(&star, &path));
        }
        Ok(self.concat(outputs))
    }

    /// The fact by the hub's key, each key's rows by the fact's unique columns. Where facts without that key are kept, the other
    /// dimensions' changes must find them.
    fn fact(&mut self, star: &Star<'_>) -> Result<Arrangement<'scope>, Error> {
        let is_optional = |number: &usize| star.stage.dimensions[number - 1].optional;
        self.arrangement(Index {
            input: star.stage.fact,
            key: star.on(1).0,
            first: star.stage.unique.clone(),
            with_nulls: !star.looked_up.is_empty() && star.hub.iter().all(is_optional),
        })
    }

    fn dimension(&mut self, star: &Star<'_>, number: usize) -> Result<Side<'scope>, Error> {
        Ok(Side {
            arrangement: self.arrangement(Index::of(star.input(number), star.on(number).1))?,
            padded: star.stage.dimensions[number - 1].optional,
        })
    }

    /// The changes of the fact joined with the dimensions of its first key.
    fn hub(&mut self, star: &Star<'_>, unneeded: Option<u64>) -> Result<Path<'scope>, Error> {
        let mut sides = vec![Side {
            arrangement: self.fact(star)?,
            padded: false,
        }];
        let mut columns = self.columns_of(star, 0);
        for &number in &star.hub {
            sides.push(self.dimension(star, number)?);
            columns.extend(self.columns_of(star, number));
        }
        let settings = join::Settings {
            name: star.name("hub"),
            output: self.path_schema(star, &columns)?,
            follows: Follows::AllSides,
            unneeded_through: unneeded,
        };
        let rows = join::join(sides, settings, self.context.failure)?;
        Ok(Path { rows, columns })
    }

    /// The changes of a dimension joined with the hub as it was before.
    fn changes_of(
        &mut self,
        star: &Star<'_>,
        changed: usize,
        unneeded: Option<u64>,
    ) -> Result<Path<'scope>, Error> {
        let (index, mut columns) = self.index(star, changed)?;
        columns.extend(self.columns_of(star, changed));
        let settings = join::Settings {
            name: star.name(format_args!("changes of side {changed}")),
            output: self.path_schema(star, &columns)?,
            follows: Follows::LastSide,
            unneeded_through: unneeded,
        };
        let index = Side {
            arrangement: index,
            padded: false,
        };
        let sides = vec![index, self.dimension(star, changed)?];
        let rows = join::join(sides, settings, self.context.failure)?;
        let path = Path { rows, columns };
        let fact = Side {
            arrangement: self.fact(star)?,
            padded: false,
        };
        let version = Version::Before;
        let mut path = self.meet(star, path, 0, fact, (version, unneeded))?;
        for &number in &star.hub {
            path = self.look_up(star, path, number, version, unneeded)?;
        }
        Ok(path)
    }

    /// The fact's hub key and unique columns, by the key of a dimension that is looked up.
    fn index(
        &mut self,
        star: &Star<'_>,
        number: usize,
    ) -> Result<(Arrangement<'scope>, Vec<StarColumn>), Error> {
        let schema = self.schema(star.stage.fact).clone();
        let key = star.on(number).0;
        let hub_key = star.on(1).0;
        let mut narrow = Vec::new();
        for name in key.iter().chain(&hub_key).chain(&star.stage.unique) {
            let column =
                (schema.index_of(name)).map_err(|error| self.plan_error(&star.node.name, error))?;
            if !narrow.contains(&column) {
                narrow.push(column);
            }
        }
        let projected =
            (schema.project(&narrow)).map_err(|error| self.plan_error(&star.node.name, error))?;
        let projected: SchemaRef = Arc::new(projected);
        let rows = select(
            self.streams[&star.stage.fact].clone(),
            narrow.clone(),
            projected.clone(),
        );
        let name = star.name(format_args!("index by {}", key.join(", ")));
        let layout = KeyedLayout::new(&projected, &key)
            .map_err(|error| self.plan_error(&star.node.name, error))?;
        let arrangement = arrange(rows, layout, &name, self.context.failure)?;
        let columns = narrow.into_iter().map(|column| (0, column)).collect();
        Ok((arrangement, columns))
    }

    /// A path's rows with those of a dimension.
    fn look_up(
        &mut self,
        star: &Star<'_>,
        path: Path<'scope>,
        number: usize,
        version: Version,
        unneeded: Option<u64>,
    ) -> Result<Path<'scope>, Error> {
        let side = self.dimension(star, number)?;
        self.meet(star, path, number, side, (version, unneeded))
    }

    fn meet(
        &mut self,
        star: &Star<'_>,
        path: Path<'scope>,
        number: usize,
        side: Side<'scope>,
        (version, unneeded_through): (Version, Option<u64>),
    ) -> Result<Path<'scope>, Error> {
        let fact = self.schema(star.stage.fact);
        let position = |name: &String| -> Result<usize, Error> {
            let column =
                (fact.index_of(name)).map_err(|error| self.plan_error(&star.node.name, error))?;
            Ok(path.position((0, column)))
        };
        let key = star.on(number.max(1)).0;
        let key = key.iter().map(position).collect::<Result<_, _>>()?;
        let within_key = if number == 0 {
            let hub_key = star.on(1).0;
            let unique = star
                .stage
                .unique
                .iter()
                .filter(|name| !hub_key.contains(name));
            unique.map(position).collect::<Result<_, _>>()?
        } else {
            Vec::new()
        };
        let mut columns = path.columns.clone();
        columns.extend(self.columns_of(star, number));
        let settings = lookup::Settings {
            name: star.name(format_args!("meets side {number} {version:?}")),
            key,
            within_key,
            version,
            padded: side.padded,
            output: self.path_schema(star, &columns)?,
            unneeded_through,
        };
        let schema = self.path_schema(star, &path.columns)?;
        let failure = self.context.failure;
        let rows = lookup::lookup(path.rows, &schema, side.arrangement, settings, failure)?;
        Ok(Path { rows, columns })
    }

    /// A path's rows as rows of the join.
    fn in_order(&self, star: &Star<'_>, path: &Path<'scope>) -> Changes<'scope> {
        let order = (0..=star.stage.dimensions.len())
            .flat_map(|side| self.columns_of(star, side))
            .map(|column| path.position(column))
            .collect();
        select(path.rows.clone(), order, star.node.schema.clone())
    }

    fn columns_of(&self, star: &Star<'_>, side: usize) -> Vec<StarColumn> {
        let count = self.schema(star.input(side)).fields().len();
        (0..count).map(|column| (side, column)).collect()
    }

    /// Columns along a path: named by their place, and any may be null.
    fn path_schema(&self, star: &Star<'_>, columns: &[StarColumn]) -> Result<SchemaRef, Error> {
        let field = |(i, &(side, column)): (usize, &StarColumn)| {
            let field = self.schema(star.input(side)).field(column);
            Field::new(i.to_string(), field.data_type().clone(), true)
        };
        let fields: Vec<_> = columns.iter().enumerate().map(field).collect();
        Ok(Arc::new(Schema::new(fields)))
    }
}
