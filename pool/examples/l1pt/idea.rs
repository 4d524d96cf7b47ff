//! The thread's ideas, each on top of those before it; but that a request which waits in the arena is
//! not asked again, and so asks the page daemon for no more.

use clap::ValueEnum;
use clap::builder::PossibleValue;

use super::cache::Knows;

/// How a fork comes by its level-1 table.
///
/// The doc comments are the help texts of the values.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub(crate) enum Idea {
    /// as it was: ask again each tick; the page daemon counts pages, and sees enough
    Wait,
    /// ask the page daemon for twice as much more each time
    More,
    /// and keep the tables that were used before, privately and for ever
    Stash,
    /// a pool instead: low water as many as were ever used, to a bound; the last for root; a deadline
    Pool,
    /// the pool's requests wait in the arena, with a window, and ask for no more; the page daemon still counts
    Window,
    /// and the page daemon is told of the shape, and says which window it can free
    Shape,
    /// and pages that are in use but not wired are moved out of the window
    Move,
}

impl Idea {
    /// The name on the command line, in the table and in the JSON.
    pub(crate) fn name(self) -> String {
        self.to_possible_value().expect("none is skipped").get_name().to_owned()
    }

    /// What the page daemon goes by.
    pub(crate) fn knows(self) -> Knows {
        match self {
            Self::Wait | Self::More | Self::Stash | Self::Pool | Self::Window => Knows::Count,
            Self::Shape => Knows::Shape,
            Self::Move => Knows::Moves,
        }
    }

    /// Whether pages in use are moved.
    pub(crate) fn moves(self) -> bool {
        self == Self::Move
    }
}

/// The value of `--idea`: one of them, or `all`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ideas {
    One(Idea),
    All,
}

impl Ideas {
    pub(crate) fn each(&self) -> &[Idea] {
        match self {
            Self::One(idea) => std::slice::from_ref(idea),
            Self::All => Idea::value_variants(),
        }
    }
}

impl ValueEnum for Ideas {
    fn value_variants<'a>() -> &'a [Self] {
        const {
            &[
                Self::One(Idea::Wait),
                Self::One(Idea::More),
                Self::One(Idea::Stash),
                Self::One(Idea::Pool),
                Self::One(Idea::Window),
                Self::One(Idea::Shape),
                Self::One(Idea::Move),
                Self::All,
            ]
        }
    }

    fn to_possible_value(&self) -> Option<PossibleValue> {
        match self {
            Self::One(idea) => idea.to_possible_value(),
            Self::All => Some(PossibleValue::new("all").help("each of them in turn")),
        }
    }
}
