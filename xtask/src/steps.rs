//! Steps in a row, each with a heading and its time, and a table of them at
//! the end.

use std::fmt;
use std::time::{Duration, Instant};

use anyhow::Context;

/// What has been done so far.
#[derive(Debug, Default)]
pub(crate) struct Steps {
    done: Vec<Step>,
}

#[derive(Debug)]
struct Step {
    name: &'static str,
    time: Duration,
    outcome: Outcome,
}

#[derive(Debug)]
enum Outcome {
    Ok,
    /// Could not be run here, and why.
    Skipped(String),
    Failed,
}

/// Does what is a command of its own, where nothing that it needs is `missing`; else it is passed over, aloud.
pub(crate) fn unless_missing(
    missing: Option<String>,
    work: impl FnOnce() -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    if let Some(why) = missing {
        println!("{}", Outcome::Skipped(why));
        return Ok(());
    }
    work()
}

impl Steps {
    /// Runs one step between its heading and its time.
    pub(crate) fn run(
        &mut self,
        name: &'static str,
        work: impl FnOnce() -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        println!("== {name}");
        let started = Instant::now();
        let result = work();
        let time = started.elapsed();
        let outcome = match result {
            Ok(()) => Outcome::Ok,
            Err(_) => Outcome::Failed,
        };
        println!("== {name}: {outcome}, {:.1} s\n", time.as_secs_f64());
        self.done.push(Step { name, time, outcome });
        result.with_context(|| format!("{name} failed"))
    }

    /// As [`run`](Self::run), where nothing that it needs is `missing`; else passed over.
    pub(crate) fn run_unless(
        &mut self,
        name: &'static str,
        missing: Option<String>,
        work: impl FnOnce() -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        match missing {
            None => self.run(name, work),
            Some(why) => {
                self.skip(name, why);
                Ok(())
            }
        }
    }

    /// Passes over one step, aloud.
    pub(crate) fn skip(&mut self, name: &'static str, why: String) {
        let outcome = Outcome::Skipped(why);
        println!("== {name}\n{outcome}\n");
        self.done.push(Step { name, time: Duration::ZERO, outcome });
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Outcome::Ok => f.write_str("ok"),
            Outcome::Skipped(why) => write!(f, "skipped: {why}"),
            Outcome::Failed => f.write_str("FAILED"),
        }
    }
}

/// The table, and a last line that counts it.
impl fmt::Display for Steps {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (mut passed, mut skipped, mut failed) = (0, 0, 0);
        let mut total = Duration::ZERO;
        writeln!(f, "{:<16}{:>9}  outcome", "step", "seconds")?;
        for step in &self.done {
            let seconds = step.time.as_secs_f64();
            writeln!(f, "{:<16}{seconds:>9.1}  {}", step.name, step.outcome)?;
            total += step.time;
            match step.outcome {
                Outcome::Ok => passed += 1,
                Outcome::Skipped(_) => skipped += 1,
                Outcome::Failed => failed += 1,
            }
        }
        write!(f, "{passed} passed, ")?;
        if skipped > 0 {
            write!(f, "{skipped} SKIPPED, ")?;
        }
        write!(f, "{failed} failed, {:.1} s", total.as_secs_f64())
    }
}

#[cfg(test)]
mod tests {
    use anyhow::bail;

    use super::*;

    #[test]
    fn a_failure_keeps_its_cause_and_its_row() {
        let mut steps = Steps::default();
        let error = steps.run("doc", || bail!("a broken link")).unwrap_err();
        assert_eq!(format!("{error:#}"), "doc failed: a broken link");
        assert!(matches!(steps.done[0].outcome, Outcome::Failed));
    }

    #[test]
    fn what_is_missing_is_why_nothing_is_done() {
        let missing = || Some("no spin".to_owned());
        assert!(unless_missing(missing(), || bail!("done")).is_ok());
        assert!(unless_missing(None, || bail!("done")).is_err());
        let mut steps = Steps::default();
        assert!(steps.run_unless("spin", missing(), || bail!("done")).is_ok());
        assert!(matches!(&steps.done[..], [Step { outcome: Outcome::Skipped(why), .. }] if why == "no spin"));
        assert!(steps.run_unless("spin", None, || bail!("done")).is_err());
    }

    #[test]
    fn the_table_has_a_row_for_each_step_and_a_last_line() {
        let step = |name, millis, outcome| Step { name, time: Duration::from_millis(millis), outcome };
        let steps = Steps {
            done: vec![
                step("format", 0, Outcome::Skipped("rustfmt is not installed".into())),
                step("tests", 12_340, Outcome::Ok),
            ],
        };
        assert_eq!(
            steps.to_string(),
            "step              seconds  outcome\n\
             format                0.0  skipped: rustfmt is not installed\n\
             tests                12.3  ok\n\
             1 passed, 1 SKIPPED, 0 failed, 12.3 s"
        );
    }
}
