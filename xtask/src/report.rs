//! What the models of loom and shuttle say of themselves, without files or processes.
//!
//! Each model, when it ends, appends one line to the report:
//!
//! ```text
//! name <TAB> executions <TAB> seconds <TAB> kind <TAB> verdict
//! ```
//!
//! The kind is `exhaustive`, `bounded: <why>`, or `random` for what shuttle ran. The verdict is `holds`, or
//! `caught: <what>` for a twin that is known to be wrong. Nothing else is
//! taken: a line that is not understood must not count as a model that ran.

use std::fmt;
use std::time::Duration;

use anyhow::{Context, ensure};
use serde::{Deserialize, Serialize};

/// One model's line.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Model {
    pub(crate) name: String,
    pub(crate) executions: u64,
    pub(crate) seconds: f64,
    pub(crate) kind: String,
    verdict: String,
}

impl Model {
    pub(crate) fn parse(line: &str) -> anyhow::Result<Self> {
        // The verdict is last, so it may have tabs of its own.
        let mut fields = line.splitn(5, '\t');
        let mut field = |what| fields.next().with_context(|| format!("no {what}"));

        let name = field("name")?;
        let executions = field("executions")?;
        let seconds = field("seconds")?;
        let kind = field("kind")?;
        let verdict = field("verdict")?;

        ensure!(!name.is_empty(), "no name");
        let is_known = kind == "exhaustive" || kind == "random" || kind.starts_with("bounded: ");
        ensure!(is_known, "unknown kind {kind:?}");
        ensure!(verdict == "holds" || verdict.starts_with("caught: "), "unknown verdict {verdict:?}");
        Ok(Model {
            name: name.to_owned(),
            executions: executions.parse().with_context(|| format!("executions {executions:?}"))?,
            seconds: seconds.parse().with_context(|| format!("seconds {seconds:?}"))?,
            kind: kind.to_owned(),
            verdict: verdict.to_owned(),
        })
    }

    pub(crate) fn is_bounded(&self) -> bool {
        self.kind.starts_with("bounded: ")
    }
}

impl fmt::Display for Model {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = format!("{:.2}", self.seconds);
        let executions = grouped(self.executions);
        row(f, [&self.name, &executions, &seconds, &self.kind, &self.verdict])
    }
}

/// The row above the models'.
pub(crate) struct Heading;

impl fmt::Display for Heading {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        row(f, ["model", "executions", "seconds", "explored", "verdict"])
    }
}

/// The widths are fixed because rows are shown as they arrive. A longer field
/// pushes the rest of its own row only.
fn row(f: &mut fmt::Formatter<'_>, [name, executions, seconds, kind, verdict]: [&str; 5]) -> fmt::Result {
    write!(f, "{name:<44} {executions:>13} {seconds:>9}  {kind:<24}  {verdict}")
}

/// The models of one run, counted.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    pub(crate) models: u64,
    executions: u64,
    bounded: u64,
}

impl Tally {
    pub(crate) fn add(&mut self, model: &Model) {
        self.models += 1;
        self.executions += model.executions;
        self.bounded += u64::from(model.is_bounded());
    }

    /// The last line of a run.
    pub(crate) fn total(&self, wall: Duration) -> String {
        format!(
            "{} model{}, {} executions, {:.1} s, {} bounded",
            grouped(self.models),
            if self.models == 1 { "" } else { "s" },
            grouped(self.executions),
            wall.as_secs_f64(),
            grouped(self.bounded),
        )
    }
}

/// Takes the complete lines out of what has been read, and leaves the rest for
/// when its end has been written.
pub(crate) fn take_lines(read: &mut Vec<u8>) -> Vec<String> {
    let complete = read.iter().rposition(|&byte| byte == b'\n');
    let lines: Vec<u8> = read.drain(..complete.map_or(0, |end| end + 1)).collect();
    let lines = String::from_utf8_lossy(&lines);
    lines.lines().map(str::to_owned).collect()
}

/// The number with its thousands apart.
pub(crate) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn model(line: &str) -> Model {
        Model::parse(line).unwrap()
    }

    fn refused(line: &str) -> String {
        format!("{:#}", Model::parse(line).unwrap_err())
    }

    #[test]
    fn a_line_has_five_fields() {
        assert_eq!(
            model("put_races_cancel\t9021\t1.25\texhaustive\tholds"),
            Model {
                name: "put_races_cancel".into(),
                executions: 9021,
                seconds: 1.25,
                kind: "exhaustive".into(),
                verdict: "holds".into(),
            }
        );
        assert_eq!(refused("put_races_cancel\t9021\t1.25\texhaustive"), "no verdict");
        assert_eq!(refused(""), "no executions");
        assert_eq!(refused("\t1\t1\texhaustive\tholds"), "no name");
    }

    #[test]
    fn a_verdict_may_have_tabs() {
        let line = "twin\t37\t0.1\tbounded: 2 preemptions\tcaught: left\tright";
        assert_eq!(model(line).verdict, "caught: left\tright");
    }

    #[test]
    fn what_is_not_understood_is_refused() {
        assert_eq!(refused("m\t1\t1\tpartial\tholds"), "unknown kind \"partial\"");
        assert_eq!(refused("m\t1\t1\tbounded\tholds"), "unknown kind \"bounded\"");
        assert_eq!(refused("m\t1\t1\texhaustive\tfails"), "unknown verdict \"fails\"");
        assert!(refused("m\t-1\t1\texhaustive\tholds").starts_with("executions \"-1\""));
        assert!(refused("m\t1\tlong\texhaustive\tholds").starts_with("seconds \"long\""));
    }

    #[test]
    fn rows_line_up() {
        let heading = Heading.to_string();
        let exhaustive = model("a\t1234567\t0.5\texhaustive\tholds").to_string();
        let bounded = model("b\t5\t12.345\tbounded: 2 preemptions\tcaught: x").to_string();
        assert_eq!(
            exhaustive,
            "a                                            \
             \x20   1,234,567      0.50  exhaustive                holds"
        );
        for (heading_word, row, word) in [
            ("explored", &exhaustive, "exhaustive"),
            ("explored", &bounded, "bounded"),
            ("verdict", &exhaustive, "holds"),
            ("verdict", &bounded, "caught"),
        ] {
            assert_eq!(heading.find(heading_word), row.find(word), "{row}");
        }
    }

    #[test]
    fn a_tally_counts_models_executions_and_bounds() {
        let mut tally = Tally::default();
        tally.add(&model("a\t1000\t0.5\texhaustive\tholds"));
        tally.add(&model("b\t1\t0.5\tbounded: 2 preemptions\tholds"));
        tally.add(&model("c\t1\t0.5\trandom\tholds"));
        assert_eq!(tally.total(Duration::from_millis(2_340)), "3 models, 1,002 executions, 2.3 s, 1 bounded");
    }

    #[test]
    fn half_a_line_waits_for_its_end() {
        let mut read = b"one\ntwo\nth".to_vec();
        assert_eq!(take_lines(&mut read), ["one", "two"]);
        assert_eq!(read, b"th");
        assert!(take_lines(&mut read).is_empty());
        read.extend(b"ree\n");
        assert_eq!(take_lines(&mut read), ["three"]);
        assert!(read.is_empty());
    }

    #[test]
    fn thousands_stand_apart() {
        assert_eq!(grouped(0), "0");
        assert_eq!(grouped(999), "999");
        assert_eq!(grouped(1_000), "1,000");
        assert_eq!(grouped(123_456), "123,456");
        assert_eq!(grouped(u64::MAX), "18,446,744,073,709,551,615");
    }
}
