//! What a run comes to: a table for a terminal, a document for the repository.

mod day;
mod list;
mod markdown;
mod terminal;

pub(crate) use list::list;
pub(crate) use markdown::markdown;
pub(crate) use terminal::terminal;

use crate::suite::cell::Cell;
use crate::suite::scenarios::Scenario;
use crate::suite::subject::Peer;

/// The peers of these cells, in their order.
fn peers(cells: &[Cell]) -> Vec<&'static Peer> {
    let mut peers: Vec<&'static Peer> = cells.iter().map(|cell| cell.peer).collect();
    peers.dedup_by_key(|peer| peer.name);
    peers
}

/// The scenarios of these cells, in their order.
fn scenarios(cells: &[Cell]) -> Vec<&'static Scenario> {
    let of_one = cells.iter().take_while(|cell| cell.peer.name == cells[0].peer.name);
    of_one.map(|cell| cell.scenario).collect()
}

/// The cell of one peer and one scenario.
fn find<'a>(cells: &'a [Cell], peer: &Peer, scenario: &Scenario) -> &'a Cell {
    let is_it = |cell: &&Cell| cell.peer.name == peer.name && cell.scenario.name == scenario.name;
    cells.iter().find(is_it).expect("each peer has a cell for each scenario")
}
