//! What hardening costs, in interleaved rounds: prints docs/HARDENING.md, which `cargo xtask hardening`
//! writes.

/// None of it runs in loom's small worlds.
#[cfg(loom)]
fn main() {}

#[cfg(not(loom))]
fn main() {
    print!("{}", report::document(&report::measure()));
}

#[cfg(not(loom))]
mod report {
    use std::fmt::Write;
    use std::thread;

    use benches::hardening::{NO_KNOB, SIZES, Subject, VARIANTS, WORKS};
    use benches::statistics::{median, ratio};
    use benches::threads::abort_on_panic;

    /// More than the machine is busy with others at a time.
    const ROUNDS: usize = 101;

    /// The samples of all variants, in nanoseconds, of one work and one size.
    pub(crate) struct Table {
        what: &'static str,
        bytes: usize,
        samples: Vec<Vec<f64>>,
    }

    pub(crate) fn measure() -> Vec<Table> {
        abort_on_panic();
        let each = WORKS.iter().flat_map(|work| SIZES.map(|bytes| (work, bytes)));
        let mut tables = Vec::new();
        for (&(what, work, times), bytes) in each {
            let subjects = VARIANTS.map(|variant| Subject::new(&variant, bytes));
            let mut samples = vec![Vec::new(); VARIANTS.len()];
            // All of them in each round, and each round begins with another: what is slow for a while is
            // slow for all.
            for round in 0..ROUNDS {
                for at in (0..VARIANTS.len()).map(|at| (at + round) % VARIANTS.len()) {
                    let time = work(&subjects[at], times);
                    #[allow(clippy::cast_precision_loss, reason = "some thousands")]
                    samples[at].push(time.as_secs_f64() * 1e9 / times as f64);
                }
            }
            tables.push(Table { what, bytes, samples });
        }
        tables
    }

    pub(crate) fn document(tables: &[Table]) -> String {
        let cores = thread::available_parallelism().map_or(1, usize::from);
        let mut out = format!(
            "# What hardening costs\n\n\
             Each knob of `pool::Hardening` alone, none and all. This file is written by\n\n\
             ```sh\ncargo xtask hardening\n```\n\n\
             and every figure in it is of one run, on a machine with {cores} processors: medians of {ROUNDS} \
             rounds, in each of which all were measured, on one thread, by its processor time. What each knob \
             finds, and what it does not, is in the [guide](GUIDE.md#hardening).\n\n\
             A pool that is not hardened has its threads keep items at hand; a hardened one has not. So \
             \"no knob\" is what that and the claim of each put cost, and the last column, how many times that, \
             is what a knob adds. `cargo bench -p benches --features hardening --bench hardening` measures the \
             same by Criterion.\n"
        );
        for Table { what, bytes, samples } in tables {
            let what = match *what {
                "pair" => "A get and a put",
                _ => "A get and a put, with a page that comes from the back-end and goes back",
            };
            let _ = write!(
                out,
                "\n## {what}: items of {bytes} B\n\n\
                 | knobs | ns | x not hardened | x no knob |\n| --- | ---: | ---: | ---: |\n"
            );
            for (variant, these) in VARIANTS.iter().zip(samples) {
                let over = |at: usize| ratio(these, &samples[at]).unwrap_or(f64::NAN);
                let ns = median(these).unwrap_or(f64::NAN);
                let _ =
                    writeln!(out, "| {} | {ns:.0} | {:.2} | {:.2} |", variant.name, over(0), over(NO_KNOB));
            }
        }
        out
    }
}
