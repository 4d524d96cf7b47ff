//! docs/VERIFICATION.md, of what the methods said.

use std::collections::{BTreeSet, HashMap};
use std::fmt::Write;

use anyhow::Context;

use super::outcomes::{Outcomes, Soaked};
use super::plan::{Evidence, Plan, Promise, Race, Tests};
use crate::mutants::{Outcome, Row};
use crate::report::{Model, grouped};
use crate::spin::Checked;

const INTRODUCTION: &str = "\
# Verification

Written by `cargo xtask verify`, from what it ran and from `xtask/verification.toml`, which says what is \
evidence for what. Every figure is of the last run of its method, in which everything that had to hold held, \
and every seeded bug was caught.

A *seeded bug* is either a *twin*, a world of its own with a protocol that is known to be wrong, or a *mutant*: \
one rule of the production code undone (`xtask/mutants.toml`). The assertions that catch it are those of the \
models that hold.

";

const METHODS: &str = "\
## What each method can say, and cannot

| method | says | does not say | command |
| --- | --- | --- | --- |
| loom | all executions of the production code in a small world, orderings and fences included; *bounded* ones up to so many preemptions | anything of larger worlds, of time, or of what is done without a lock of the shim | `cargo xtask loom` |
| seeded bugs | that a check can fail, and by which bug it does | which bugs nobody has thought of | `cargo xtask mutants` |
| shuttle | many schedules of tens of threads | all of them, and anything of orderings | `cargo xtask shuttle` |
| specification | progress for ever, under weak fairness, of the protocol | that the code is the protocol | `cargo xtask spin` |
| properties | random operations on one thread, beside a model that is obviously right: a thousand sequences each, or as many as its source says, and those that a fuzzer found worth keeping | anything of races | `cargo test`, `cargo xtask fuzz` |
| faults | what fails, panics, is refused, is cancelled or exits, at each place where it can | combinations of more than two | `cargo test`, `cargo xtask cancel` |
| stress | real threads, the real clock, real memory | what did not happen to happen | `cargo test` |
| soak | everything at once, at random, on many threads and tasks, beside the equations that must hold; memory stays as it is | as stress; and of what it fails for, which of a million operations it was | `cargo xtask soak` |
";

/// The page.
///
/// # Errors
/// What the plan names was not run.
pub(super) fn of(plan: &Plan, outcomes: &Outcomes) -> anyhow::Result<String> {
    let said = Index::new(outcomes);
    let mut page = String::from(INTRODUCTION);
    page +=
        "| promise | loom | seeded bugs | shuttle | specification | properties | faults | stress | soak |\n";
    page += "| --- | --- | --- | --- | --- | --- | --- | --- | --- |\n";
    for promise in &plan.promise {
        let cells = [
            summary(&promise.loom, |races| said.of_models(races)),
            said.of_bugs(promise),
            summary(&promise.shuttle, |races| said.of_worlds(races)),
            summary(&promise.spin, |races| said.of_cases(races)),
            summary(&promise.properties, |tests| format!("{} properties", said.count(tests))),
            summary(&promise.faults, |tests| format!("{} tests", said.count(tests))),
            summary(&promise.stress, |tests| format!("{} tests", said.count(tests))),
            summary(&promise.soak, |laws| counted(laws.len(), "law")),
        ];
        let anchor = format!("{} {}", promise.name, promise.title).to_lowercase().replace(' ', "-");
        let anchor = anchor.replace('\'', "");
        writeln!(page, "| [**{}** {}](#{anchor}) | {} |", promise.name, promise.title, cells.join(" | "))?;
    }
    writeln!(page, "\n{}\n", totals(outcomes))?;
    page += METHODS;
    for promise in &plan.promise {
        writeln!(page, "\n## {} {}\n\n{}", promise.name, promise.title, promise.says)?;
        said.models(&mut page, "loom", promise.loom.list(), &said.loom)?;
        said.mutants(&mut page, &promise.name)?;
        said.models(&mut page, "shuttle", promise.shuttle.list(), &said.shuttle)?;
        said.cases(&mut page, promise.spin.list())?;
        for (method, tests) in
            [("properties", &promise.properties), ("faults", &promise.faults), ("stress", &promise.stress)]
        {
            said.tests(&mut page, method, tests.list())?;
        }
        if let Evidence::Has(laws) = &promise.soak {
            writeln!(page, "\nThe soak: {}.", laws.join("; "))?;
        }
    }
    page += "\n## What they rest on\n";
    for foundation in &plan.foundation {
        writeln!(page, "\n### {}", foundation.title)?;
        said.models(&mut page, "loom", &foundation.loom, &said.loom)?;
    }
    Ok(page)
}

fn summary<T>(evidence: &Evidence<T>, of: impl FnOnce(&[T]) -> String) -> String {
    match evidence {
        Evidence::Has(list) => of(list),
        Evidence::Cannot(why) => format!("*none:* {why}"),
    }
}

fn totals(outcomes: &Outcomes) -> String {
    let executions = |models: &[Model]| grouped(models.iter().map(|model| model.executions).sum());
    let soak = &outcomes.soak.of;
    let bounded = outcomes.loom.of.iter().filter(|model| model.is_bounded()).count();
    let equivalent = outcomes.mutants.of.iter().filter(|row| row.outcome == Outcome::Equivalent).count();
    format!(
        "In all: loom {} models and twins, {} executions, {bounded} bounded, in {}; shuttle {} worlds and \
         twins, {} schedules, in {}; spin {} cases in {}; {} mutants, {equivalent} of them argued to be \
         equivalent and the others caught, in {}; {} tests in {}; a soak of {} operations on {} threads and {} tasks \
         in {}.",
        outcomes.loom.of.len(),
        executions(&outcomes.loom.of),
        minutes(outcomes.loom.seconds),
        outcomes.shuttle.of.len(),
        executions(&outcomes.shuttle.of),
        minutes(outcomes.shuttle.seconds),
        outcomes.spin.of.len(),
        minutes(outcomes.spin.seconds),
        outcomes.mutants.of.len(),
        minutes(outcomes.mutants.seconds),
        outcomes.tests.of.len(),
        minutes(outcomes.tests.seconds),
        grouped(soak.iter().map(Soaked::operations).sum()),
        soak.iter().map(|soak| soak.threads).sum::<u32>(),
        soak.iter().map(|soak| soak.tasks).sum::<u32>(),
        minutes(soak.iter().map(|soak| soak.seconds).sum()),
    )
}

fn minutes(seconds: f64) -> String {
    if seconds < 100.0 { format!("{seconds:.0} s") } else { format!("{:.0} min", seconds / 60.0) }
}

/// What was said, by name.
struct Index<'a> {
    outcomes: &'a Outcomes,
    loom: HashMap<&'a str, &'a Model>,
    shuttle: HashMap<&'a str, &'a Model>,
    spin: HashMap<&'a str, &'a Checked>,
}

impl<'a> Index<'a> {
    fn new(outcomes: &'a Outcomes) -> Self {
        let of = |models: &'a [Model]| models.iter().map(|model| (&*model.name, model)).collect();
        Self {
            outcomes,
            loom: of(&outcomes.loom.of),
            shuttle: of(&outcomes.shuttle.of),
            spin: outcomes.spin.of.iter().map(|case| (&*case.name, case)).collect(),
        }
    }

    fn of_models(&self, races: &[Race]) -> String {
        let models = ran(races, &self.loom);
        let bounded = models.iter().filter(|model| model.is_bounded()).count();
        let executions = grouped(models.iter().map(|model| model.executions).sum());
        let how = if bounded == 0 { "exhaustive".to_owned() } else { format!("{bounded} bounded") };
        format!("{} models, {executions} executions, {how}", models.len())
    }

    fn of_worlds(&self, races: &[Race]) -> String {
        let worlds = ran(races, &self.shuttle);
        let schedules = grouped(worlds.iter().map(|world| world.executions).sum());
        format!("{} worlds, {schedules} schedules", worlds.len())
    }

    fn of_cases(&self, races: &[Race]) -> String {
        let holds: BTreeSet<_> = races.iter().flat_map(|race| &race.holds).collect();
        let states: f64 =
            holds.iter().filter_map(|name| self.spin.get(&***name)).map(|case| case.states).sum();
        format!("{}, {states:.0} states", counted(holds.len(), "case"))
    }

    fn of_bugs(&self, promise: &Promise) -> String {
        let twins: BTreeSet<_> = [&promise.loom, &promise.shuttle, &promise.spin]
            .into_iter()
            .flat_map(Evidence::list)
            .flat_map(|race| &race.twins)
            .collect();
        let mutants = self.rows(&promise.name).filter(|row| row.outcome == Outcome::Caught).count();
        match twins.len() {
            0 => format!("{mutants} mutants"),
            twins => format!("{twins} twins, {mutants} mutants"),
        }
    }

    fn rows(&self, promise: &str) -> impl Iterator<Item = &'a Row> {
        self.outcomes.mutants.of.iter().filter(move |row| row.promise == promise)
    }

    fn count(&self, tests: &[Tests]) -> usize {
        let of = |passed: &&_| tests.iter().any(|tests| super::outcomes::Passed::is_of(passed, tests));
        self.outcomes.tests.of.iter().filter(of).count()
    }

    /// The races of one method, with what each explored and what it caught.
    fn models(
        &self,
        page: &mut String,
        method: &str,
        races: &[Race],
        ran: &HashMap<&str, &Model>,
    ) -> anyhow::Result<()> {
        if races.is_empty() {
            return Ok(());
        }
        let explored = if method == "loom" { "executions" } else { "schedules" };
        writeln!(page, "\n| {method} | {explored} | seconds | seeded bugs that are caught |")?;
        page.push_str("| --- | ---: | ---: | --- |\n");
        for race in races {
            let (mut executions, mut seconds, mut names) = (0, 0.0, Vec::new());
            for name in &race.holds {
                let model = ran.get(&**name).with_context(|| format!("{name} did not run"))?;
                executions += model.executions;
                seconds += model.seconds;
                let bound = if model.is_bounded() { format!(" ({})", model.kind) } else { String::new() };
                names.push(format!("`{name}`{bound}"));
            }
            let twins = race.twins.iter().map(|twin| format!("`{twin}`"));
            let judged = |row: &&Row| row.outcome == Outcome::Caught && race.holds.contains(&row.judge);
            let mutants = self.outcomes.mutants.of.iter().filter(judged);
            let bugs: Vec<_> = twins.chain(mutants.map(|row| format!("mutant `{}`", row.mutant))).collect();
            let bugs = bugs.join(", ");
            writeln!(page, "| {} | {} | {seconds:.1} | {bugs} |", names.join(", "), grouped(executions))?;
        }
        Ok(())
    }

    fn mutants(&self, page: &mut String, promise: &str) -> anyhow::Result<()> {
        page.push_str("\n| mutant | the rule that it undoes | caught by | executions |\n");
        page.push_str("| --- | --- | --- | ---: |\n");
        for row in self.rows(promise) {
            let executions = row.executions.map(grouped).unwrap_or_default();
            let by = match row.outcome {
                Outcome::Equivalent => "nothing: argued to be equivalent".to_owned(),
                _ => format!("`{}`", row.judge),
            };
            writeln!(page, "| `{}` | {} | {by} | {executions} |", row.mutant, row.rule)?;
        }
        Ok(())
    }

    fn cases(&self, page: &mut String, races: &[Race]) -> anyhow::Result<()> {
        if races.is_empty() {
            return Ok(());
        }
        page.push_str("\n| specification | property | states | without a rule, with a counterexample |\n");
        page.push_str("| --- | --- | ---: | --- |\n");
        for race in races {
            let (mut states, mut properties) = (0.0, BTreeSet::new());
            for name in &race.holds {
                let case = self.spin.get(&**name).with_context(|| format!("{name} did not run"))?;
                states += case.states;
                properties.insert(&*case.property);
            }
            let properties = properties.into_iter().collect::<Vec<_>>().join(", ");
            let (holds, twins) = (race.holds.join("; "), race.twins.join("; "));
            writeln!(page, "| {holds} | `{properties}` | {states:.0} | {twins} |")?;
        }
        Ok(())
    }

    fn tests(&self, page: &mut String, method: &str, tests: &[Tests]) -> anyhow::Result<()> {
        if tests.is_empty() {
            return Ok(());
        }
        writeln!(page, "\n| {method} | tests |\n| --- | ---: |")?;
        for tests in tests {
            let count = self.count(std::slice::from_ref(tests));
            writeln!(page, "| `cargo test {tests}` | {count} |")?;
        }
        Ok(())
    }
}

/// What must hold of these, each once.
fn ran<'a>(races: &[Race], ran: &HashMap<&str, &'a Model>) -> Vec<&'a Model> {
    let names: BTreeSet<_> = races.iter().flat_map(|race| &race.holds).collect();
    names.into_iter().filter_map(|name| ran.get(&**name).copied()).collect()
}

fn counted(number: usize, what: &str) -> String {
    format!("{number} {what}{}", if number == 1 { "" } else { "s" })
}
