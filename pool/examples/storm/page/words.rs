//! What the page says in words.

use std::fmt::Write;

use super::super::report::{Row, human};
use super::super::samples::Stuck;

pub(super) const MIB: f64 = 1_048_576.0;

/// How a protocol did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// All was done, and nothing lost.
    Good,
    /// All was done, at a price.
    Costs,
    /// Launches were left undone.
    Bad,
}

impl Verdict {
    pub(super) fn of(row: &Row) -> Self {
        if row.done < row.asked || row.stuck > 0 {
            Self::Bad
        } else if row.stolen > 0 || row.below_low_water > 0 {
            Self::Costs
        } else {
            Self::Good
        }
    }

    pub(super) fn class(self) -> &'static str {
        match self {
            Self::Good => "good",
            Self::Costs => "costs",
            Self::Bad => "bad",
        }
    }

    pub(super) fn mark(self) -> &'static str {
        match self {
            Self::Good => "\u{2713}",
            Self::Costs => "!",
            Self::Bad => "\u{2717}",
        }
    }
}

/// The verdict in a word or two.
pub(super) fn headline(row: &Row) -> String {
    match Verdict::of(row) {
        Verdict::Bad if row.stuck > 0 => format!("{} of {} launchers stuck", row.stuck, row.launchers),
        Verdict::Bad => "not all was done".into(),
        Verdict::Costs => format!("done, {} stolen", pages(row.stolen)),
        Verdict::Good => "all done".into(),
    }
}

/// The verdict in a sentence or two.
pub(super) fn verdict(row: &Row) -> String {
    let done = format!("{} of {} launches were done", grouped(row.done), grouped(row.asked));
    let mut text = if row.stuck > 0 {
        // Some may have come to by themselves.
        let for_ever = if row.done < row.asked { ", and the run had to be ended" } else { "" };
        format!(
            "{done}. {} of {} launchers slept for two seconds or more beside items{for_ever}.",
            row.stuck, row.launchers
        )
    } else if row.done < row.asked {
        format!("{done}.")
    } else {
        format!(
            "All {} launches were done in {:.2} s, and nobody was stuck.",
            grouped(row.asked),
            row.elapsed_s
        )
    };
    if row.stolen > 0 {
        let _ = write!(
            text,
            " {} that the pool gave back for a getter went to somebody else; in the end the pool was {} short of \
             its low water mark.",
            pages(row.stolen),
            pages(row.below_low_water)
        );
    }
    if row.failed > 0 {
        let _ = write!(text, " {} of the programs exited with an error.", grouped(row.failed));
    }
    text
}

/// Of those that were stuck, the one that slept while most was put: what it missed is the story.
pub(super) fn first_stuck(row: &Row) -> Option<&Stuck> {
    row.stuck_at.iter().max_by_key(|stuck| (stuck.put_meanwhile, std::cmp::Reverse(stuck.launcher)))
}

/// What is to be said of one that was stuck.
pub(super) fn stuck(stuck: &Stuck) -> String {
    format!(
        "Launcher {} fell asleep {} after the start; {} were put while it slept. It {}.",
        stuck.launcher,
        human(stuck.since_us),
        items(stuck.put_meanwhile),
        stuck.state
    )
}

pub(super) fn items(count: u64) -> String {
    plural(count, "item")
}

fn pages(count: u64) -> String {
    plural(count, "page")
}

fn plural(count: u64, noun: &str) -> String {
    format!("{} {noun}{}", grouped(count), if count == 1 { "" } else { "s" })
}

/// With a comma between thousands.
pub(super) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut grouped = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

/// `99.9 %`; all of them is the longest.
pub(super) fn share(share: f64) -> String {
    if share >= 1.0 {
        return "longest".into();
    }
    // To the digits that there are: 99.9, not 99.90000000000001.
    format!("{} %", (share * 1e4).round() / 1e2)
}

pub(super) fn bytes(bytes: u64) -> String {
    format!("{:.2} MiB", bytes as f64 / MIB)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thousands_are_told_apart() {
        let numbers = [0, 999, 1_000, 20_000, 1_234_567].map(grouped);
        assert_eq!(numbers, ["0", "999", "1,000", "20,000", "1,234,567"]);
        assert_eq!((items(1), items(2_000)), ("1 item".into(), "2,000 items".into()));
    }

    #[test]
    fn shares_are_percents() {
        assert_eq!([0.5, 0.99, 0.999, 1.0].map(share), ["50 %", "99 %", "99.9 %", "longest"]);
    }
}
