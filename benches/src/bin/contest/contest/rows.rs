//! What is made of the samples of a bench.

use benches::case::Case;
use benches::contestants::OURS;
use benches::results::{Large, Row, Scarce, Waits};
use benches::statistics::{mean, median, ratio};
use benches::workloads::large;
use benches::workloads::scarce::{Outcome, all_waits};
use hdrhistogram::Histogram;

use super::rounds::Samples;

/// A row for each case.
pub(crate) fn of(cases: &[Case], samples: &[Samples]) -> Vec<Row> {
    let ns: Vec<_> = samples.iter().map(nanoseconds).collect();
    let rows = cases.iter().zip(samples).zip(&ns).map(|((case, samples), own)| {
        let ours = cases.iter().position(|one| one.is_beside(case) && one.subject == OURS);
        let ratio_to_ours = ours.and_then(|at| ratio(own, &ns[at]));
        row(case, samples, own.clone(), ratio_to_ours)
    });
    rows.collect()
}

fn row(case: &Case, samples: &Samples, ns: Vec<f64>, ratio_to_ours: Option<f64>) -> Row {
    Row {
        bench: case.bench,
        shape: case.shape.clone(),
        subject: case.subject.to_owned(),
        threads: case.threads,
        median_ns: median(&ns),
        min_ns: ns.iter().copied().min_by(f64::total_cmp),
        max_ns: ns.iter().copied().max_by(f64::total_cmp),
        ratio_to_ours,
        samples: ns,
        failed: failed(samples),
        scarce: scarce(case, samples),
        large: large(case, samples),
        bytes_per_item: if let Samples::Memory(bytes) = samples { Some(*bytes) } else { None },
    }
}

/// A figure for each round.
fn nanoseconds(samples: &Samples) -> Vec<f64> {
    match samples {
        Samples::Counted(ns) => ns.clone(),
        Samples::Tried(tried) => tried.iter().map(|tried| tried.ns).collect(),
        Samples::Scarce(outcomes) => outcomes.iter().map(Outcome::ns).collect(),
        Samples::Large(outcomes) => outcomes.iter().map(large::Outcome::ns).collect(),
        Samples::Memory(_) => Vec::new(),
    }
}

/// Of all rounds together, each of which tried as often.
fn failed(samples: &Samples) -> Option<f64> {
    let Samples::Tried(tried) = samples else { return None };
    mean(&tried.iter().map(|tried| tried.failed).collect::<Vec<_>>())
}

fn scarce(case: &Case, samples: &Samples) -> Option<Scarce> {
    let (Some(scarcity), Samples::Scarce(outcomes)) = (case.scarcity, samples) else { return None };
    let per_second: Vec<_> = outcomes.iter().map(Outcome::per_second).collect();
    let fairness: Vec<_> = outcomes.iter().filter_map(Outcome::fairness).collect();
    Some(Scarce {
        objects: scarcity.objects,
        work: scarcity.work,
        ops_per_s: median(&per_second)?,
        wait_ns: quantiles(outcomes.iter().map(|outcome| &outcome.waits)),
        fairness: median(&fairness),
        largest_bypass: outcomes.iter().filter_map(|outcome| outcome.most_overtaken).max(),
    })
}

fn large(case: &Case, samples: &Samples) -> Option<Large> {
    let (Some(quanta), Samples::Large(outcomes)) = (case.quanta, samples) else { return None };
    let per_second: Vec<_> = outcomes.iter().map(|outcome| outcome.singles_per_second).collect();
    Some(Large {
        quanta,
        asked: outcomes.iter().map(|outcome| outcome.asked).sum(),
        served: outcomes.iter().map(|outcome| outcome.served).sum(),
        wait_ns: quantiles(outcomes.iter().map(|outcome| &outcome.waits)),
        most_overtaken: outcomes.iter().map(|outcome| outcome.most_overtaken).max()?,
        singles_per_s: median(&per_second)?,
    })
}

/// Of all rounds together.
fn quantiles<'a>(waits: impl Iterator<Item = &'a Histogram<u64>>) -> Waits {
    let waits = all_waits(waits);
    Waits {
        p50: waits.value_at_quantile(0.5),
        p99: waits.value_at_quantile(0.99),
        p99_99: waits.value_at_quantile(0.9999),
        max: waits.max(),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use benches::case::{Bench, Tried};
    use benches::contestants::cases;
    use benches::workloads::scarce::no_waits;

    use super::*;

    fn one(bench: Bench, subject: &str) -> Case {
        let found = cases().into_iter().find(|case| case.bench == bench && case.subject == subject);
        found.expect("it takes part")
    }

    #[test]
    fn rows_are_compared_with_ours_of_the_same_round() {
        let cases = [one(Bench::Burst, OURS), one(Bench::Burst, "opool")];
        let samples = [Samples::Counted(vec![1.0, 10.0, 10.0]), Samples::Counted(vec![2.0, 20.0, 2.0])];
        let rows = of(&cases, &samples);
        assert_eq!((rows[0].ratio_to_ours, rows[1].ratio_to_ours), (Some(1.0), Some(2.0)));
        assert_eq!((rows[1].median_ns, rows[1].min_ns, rows[1].max_ns), (Some(2.0), Some(2.0), Some(20.0)));
        let alone = of(&cases[1..], &samples[1..]);
        assert_eq!(alone[0].ratio_to_ours, None);
    }

    #[test]
    fn scarce_rows_have_the_waits_of_all_rounds() {
        let case = [one(Bench::Scarce, OURS)];
        let outcome = |wait, gets: [u64; 2], most_overtaken| {
            let mut waits = no_waits();
            waits.record(wait).unwrap();
            let (gets, elapsed) = (gets.to_vec(), Duration::from_secs(1));
            Outcome { gets, elapsed, waits, most_overtaken }
        };
        let rounds = vec![outcome(100, [10, 10], Some(3)), outcome(7_000, [10, 40], Some(1))];
        let rows = of(&case, &[Samples::Scarce(rounds)]);
        let scarce = rows[0].scarce.as_ref().unwrap();
        assert!((scarce.ops_per_s - 35.0).abs() < 1e-9);
        assert_eq!((scarce.fairness, scarce.largest_bypass), (Some(0.625), Some(3)));
        assert!(scarce.wait_ns.max >= 7_000 && scarce.wait_ns.p50 < 200);
    }

    #[test]
    fn what_failed_is_a_share_of_all_rounds() {
        let case = [one(Bench::Spans, OURS)];
        let tried = vec![Tried { ns: 10.0, failed: 0.0 }, Tried { ns: 30.0, failed: 0.5 }];
        let rows = of(&case, &[Samples::Tried(tried)]);
        assert_eq!((rows[0].median_ns, rows[0].failed), (Some(20.0), Some(0.25)));
        assert_eq!(of(&case, &[Samples::Tried(vec![])])[0].failed, None);
    }

    #[test]
    fn large_rows_have_all_that_were_asked_for() {
        let case = [one(Bench::Large, OURS)];
        let outcome = |wait, served, most_overtaken, singles_per_second| {
            let mut waits = no_waits();
            waits.record(wait).unwrap();
            large::Outcome { asked: 2, served, waits, most_overtaken, singles_per_second }
        };
        let rounds = vec![outcome(100, 2, 7, 1e6), outcome(7_000, 1, 3, 3e6)];
        let rows = of(&case, &[Samples::Large(rounds)]);
        let large = rows[0].large.as_ref().unwrap();
        assert_eq!((large.asked, large.served, large.most_overtaken), (4, 3, 7));
        assert!((large.singles_per_s - 2e6).abs() < 1e-3 && large.wait_ns.max >= 7_000);
        assert_eq!(large.quanta, 4);
    }

    #[test]
    fn they_are_written_as_who_reads_them_expects() {
        let rows = of(&[one(Bench::Memory, OURS)], &[Samples::Memory(4.5)]);
        let json = serde_json::to_value(&rows[0]).unwrap();
        assert_eq!(json["bench"], "memory");
        assert_eq!(json["bytes_per_item"], 4.5);
        assert!(json["median_ns"].is_null() && json.get("objects").is_none());

        let rows = of(&[one(Bench::Scarce, OURS)], &[Samples::Scarce(vec![])]);
        assert!(serde_json::to_value(&rows[0]).unwrap().get("bytes_per_item").is_none());
    }
}
