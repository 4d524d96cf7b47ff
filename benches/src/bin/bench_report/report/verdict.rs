//! What a target is, and whether a run meets it.

use std::fmt::Write;

use super::number::{percent, plain};
use super::run::{Missing, Run};

/// A bound on a figure, in each of the cases that it is about.
#[derive(Clone)]
pub(crate) struct Target {
    pub(crate) what: &'static str,
    pub(crate) limit: Limit,
    /// What the figures are in, and the limit too.
    pub(crate) unit: &'static str,
    /// The figures. A case that was not measured is there all the same, and says what is missing.
    pub(crate) cases: fn(&Run) -> Vec<Case>,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Limit {
    AtMost(f64),
    AtLeast(f64),
}

/// One figure that a target is about.
#[derive(Debug)]
pub(crate) struct Case {
    /// Which it is; empty if the target has only this one.
    pub(crate) name: String,
    pub(crate) figure: Result<f64, Missing>,
}

/// A target beside the figures of a run.
#[derive(Debug)]
pub(crate) struct Verdict {
    pub(crate) what: &'static str,
    /// The target, in words.
    pub(crate) target: String,
    /// The figure, in words: the worst, if there are several. `None` if nothing was measured.
    pub(crate) figure: Option<String>,
    pub(crate) outcome: Outcome,
    /// Whether it was met, by how much it was missed, what is missing.
    pub(crate) words: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    Met,
    Missed,
    /// Not in all cases. Nothing that was measured missed.
    NotMeasured,
}

impl Limit {
    /// By which part of the limit the figure misses it: above 0 if it does. The greater, the worse,
    /// so that the worst of several figures has the greatest.
    fn missed_by(self, figure: f64) -> f64 {
        match self {
            Limit::AtMost(limit) => figure / limit - 1.0,
            Limit::AtLeast(limit) => 1.0 - figure / limit,
        }
    }

    fn words(self) -> (&'static str, f64) {
        match self {
            Limit::AtMost(limit) => ("at most", limit),
            Limit::AtLeast(limit) => ("at least", limit),
        }
    }
}

impl Case {
    /// The only case of a target.
    pub(crate) fn only(figure: Result<f64, Missing>) -> Vec<Self> {
        vec![Self { name: String::new(), figure }]
    }
}

impl Target {
    /// The target beside the figures of `run`.
    pub(crate) fn judge(&self, run: &Run) -> Verdict {
        self.weigh(&(self.cases)(run))
    }

    fn weigh(&self, cases: &[Case]) -> Verdict {
        let (mut measured, mut missing) = (Vec::new(), Vec::new());
        for case in cases {
            match &case.figure {
                Ok(figure) => measured.push((self.limit.missed_by(*figure), *figure, &*case.name)),
                Err(gap) => missing.push(gap.to_string()),
            }
        }
        measured.sort_by(|one, other| other.0.total_cmp(&one.0));
        let missed = measured.iter().filter(|(by, ..)| *by > 0.0).count();

        let (outcome, mut words) = match (measured.first(), missed) {
            (Some(_), 0) if missing.is_empty() => (Outcome::Met, "met".to_owned()),
            (Some(_), 0) => (Outcome::NotMeasured, format!("met in {} of {}", measured.len(), cases.len())),
            (None, _) => (Outcome::NotMeasured, String::new()),
            (Some((by, ..)), _) if cases.len() == 1 => {
                (Outcome::Missed, format!("missed by {}", percent(*by)))
            }
            (Some((by, ..)), missed) => {
                (Outcome::Missed, format!("missed in {missed} of {}, by up to {}", cases.len(), percent(*by)))
            }
        };
        if !missing.is_empty() {
            let gap = if words.is_empty() { "" } else { "; " };
            words = format!("{words}{gap}not measured: {}", missing[0]);
            if missing.len() > 1 {
                let _ = write!(words, ", and {} more", missing.len() - 1);
            }
        }
        let (bound, limit) = self.limit.words();
        Verdict {
            what: self.what,
            target: format!("{bound} {limit} {}", self.unit),
            figure: measured.first().map(|(_, worst, name)| shown(*worst, name)),
            outcome,
            words,
        }
    }
}

/// A figure, and which of several it is.
fn shown(worst: f64, name: &str) -> String {
    let worst = plain(worst);
    if name.is_empty() { worst } else { format!("{worst}, {name}") }
}

/// How many of each there are.
pub(crate) fn summary(verdicts: &[Verdict]) -> String {
    let of = |outcome| verdicts.iter().filter(|verdict| verdict.outcome == outcome).count();
    let (met, missed, not) = (of(Outcome::Met), of(Outcome::Missed), of(Outcome::NotMeasured));
    format!("{met} of {} targets met, {missed} missed, {not} not measured", verdicts.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn weighed(limit: Limit, figures: &[Option<f64>]) -> Verdict {
        let case = |(nth, figure): (usize, &Option<f64>)| Case {
            name: format!("case {nth}"),
            figure: figure.ok_or_else(|| Missing("no row".to_owned())),
        };
        let cases: Vec<Case> = figures.iter().enumerate().map(case).collect();
        Target { what: "it", limit, unit: "x", cases: |_| Vec::new() }.weigh(&cases)
    }

    #[test]
    fn what_is_on_the_limit_meets_it() {
        for limit in [Limit::AtMost(2.0), Limit::AtLeast(2.0)] {
            assert_eq!(weighed(limit, &[Some(2.0)]).outcome, Outcome::Met);
        }
    }

    #[test]
    fn a_miss_is_a_part_of_the_limit() {
        assert_eq!(weighed(Limit::AtMost(2.0), &[Some(3.0)]).words, "missed by 50 %");
        assert_eq!(weighed(Limit::AtLeast(4.0), &[Some(3.0)]).words, "missed by 25 %");
    }

    #[test]
    fn the_worst_case_is_shown() {
        let verdict = weighed(Limit::AtMost(2.0), &[Some(1.0), Some(4.0), Some(3.0)]);
        assert_eq!(verdict.figure.as_deref(), Some("4, case 1"));
        assert_eq!(verdict.words, "missed in 2 of 3, by up to 100 %");
    }

    #[test]
    fn what_was_not_measured_is_not_met() {
        let none = weighed(Limit::AtMost(2.0), &[None, None]);
        assert_eq!((none.outcome, none.figure), (Outcome::NotMeasured, None));
        assert_eq!(none.words, "not measured: no row, and 1 more");
        let some = weighed(Limit::AtMost(2.0), &[Some(1.0), None]);
        assert_eq!(
            (some.outcome, &*some.words),
            (Outcome::NotMeasured, "met in 1 of 2; not measured: no row")
        );
        let missed = weighed(Limit::AtMost(2.0), &[Some(3.0), None]);
        assert_eq!(missed.outcome, Outcome::Missed);
        assert_eq!(missed.words, "missed in 1 of 2, by up to 50 %; not measured: no row");
    }
}
