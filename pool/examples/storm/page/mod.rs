//! The page that `--report` writes: one file, which needs no network and no script.
//!
//! What it says of protocols it takes from the rows, so that a protocol which is added has
//! its panel, its line and its bar without a word here. The race is one that loom really
//! found: `loom-tests` has the recording.

#![allow(
    clippy::cast_precision_loss,
    clippy::cast_sign_loss,
    reason = "what is drawn is rounded to pixels, and no count is negative"
)]

mod charts;
mod colours;
mod machine;
mod sequence;
mod words;

use std::ffi::OsString;

use anyhow::{Context, Result};
use clap::ValueEnum;
use loom_tests::record::{Recording, STEAL};
use maud::{DOCTYPE, Markup, PreEscaped, html};

use super::cli::Protocol;
use super::report::{Row, human, tally};
use words::{Verdict, bytes, grouped};

/// Nothing may be fetched, whatever is in the page.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'";

/// The page of these rows, of a run with these arguments, the program's name first.
///
/// # Errors
///
/// The recording cannot be read.
pub(crate) fn html(rows: &[Row], args: &[OsString]) -> Result<String> {
    let race = Recording::from_json(STEAL).context("reading the recorded race")?;
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta http-equiv="Content-Security-Policy" content=(POLICY);
                title { "storm: " (names(rows)) }
                style { (PreEscaped(include_str!("page.css"))) (PreEscaped(colours::sheet())) }
            }
            body {
                header { (opening(rows)) }
                main {
                    (panels(rows))
                    (compared(rows))
                    (the_race(&race))
                    (figures(rows))
                    (repeated(args))
                }
            }
        }
    };
    Ok(page.into_string())
}

fn names(rows: &[Row]) -> String {
    rows.iter().map(|row| &*row.protocol).collect::<Vec<_>>().join(", ")
}

/// What a protocol is, by its help text. A row of another program may have none.
fn about(protocol: &str) -> Option<String> {
    Protocol::from_str(protocol, false).ok().map(Protocol::about)
}

/// What it is about, and how each did.
fn opening(rows: &[Row]) -> Markup {
    let launchers = rows.iter().map(|row| row.launchers).max().unwrap_or(0);
    html! {
        h1 { "A pool that runs dry, and how its getters wait" }
        p {
            (grouped(launchers)) " launchers start programs. Each needs an argument block from a pool, which has \
            fewer than there are launchers; and the arena that the pool would get more from is kept in pieces by \
            other clients. So launchers wait. What can end their wait is the protocol."
        }
        ul class="glance" {
            @for row in rows {
                @let verdict = Verdict::of(row);
                li class=(verdict.class()) {
                    a href={ "#" (row.protocol) } {
                        b { (row.protocol) }
                        strong { span aria-hidden="true" { (verdict.mark()) " " } (words::headline(row)) }
                        @if let Some(about) = about(&row.protocol) { span class="faint" { (about) } }
                    }
                }
            }
        }
    }
}

/// What happened over time, a panel for each protocol.
fn panels(rows: &[Row]) -> Markup {
    let end = charts::end_of_time(rows);
    html! {
        section aria-labelledby="over-time" {
            h2 id="over-time" { "Over time" }
            p class="faint" {
                "All charts have the same axis of time. A line is a mean, and the band around it goes from the least \
                to the most that was seen."
            }
            @for row in rows {
                @let verdict = Verdict::of(row);
                article class={ "panel " (verdict.class()) } id=(row.protocol) data-protocol=(row.protocol) {
                    h3 {
                        (row.protocol) ": "
                        span { span aria-hidden="true" { (verdict.mark()) " " } (words::headline(row)) }
                    }
                    @if let Some(about) = about(&row.protocol) { p class="faint" { (about) } }
                    p { (words::verdict(row)) }
                    @if let Some(stuck) = words::first_stuck(row) { p class="stuck" { (words::stuck(stuck)) } }
                    @if row.elapsed_s > end * 1.01 {
                        p class="faint" {
                            "The charts end at " (format!("{end:.2}")) " s; it went on like this until it was \
                            ended, at " (format!("{:.2}", row.elapsed_s)) " s."
                        }
                    }
                    div class="charts" {
                        (charts::waiting(row, end))
                        (charts::so_far(row, end))
                        (charts::memory(row, end))
                    }
                }
            }
        }
    }
}

/// All protocols beside each other.
fn compared(rows: &[Row]) -> Markup {
    html! {
        section aria-labelledby="compared" {
            h2 id="compared" { "Side by side" }
            div class="pair" {
                (charts::waits(rows))
                (charts::held(rows))
            }
        }
    }
}

/// How a page is stolen.
fn the_race(race: &Recording) -> Markup {
    html! {
        section aria-labelledby="race" {
            h2 id="race" { "How a page is stolen" }
            p {
                "Execution " (race.execution) " of those that loom explored of the model " code { (race.model) }
                ", in which " q { (race.failed) } ": what the code did, in the order in which it did it."
            }
            div class="race" {
                figure {
                    (sequence::svg(race))
                    figcaption { "Dashed: what came of an earlier step. The last close is the test's, which must end." }
                }
                div {
                    p {
                        "The holder puts the only item while a getter sleeps in the arena. The pool gives the page \
                        back for it. But what is free is free for anybody, and between that and the getter's next \
                        look a thief takes it."
                    }
                    p {
                        b { "With claims " } "(" code { "claim" } ", the model " code { "steal" } ") the same world "
                        "has no such moment: the free names the getter's request as its heir, and the page is the \
                        getter's before the arena's lock is dropped. loom explored all executions of that, and in \
                        none did the thief get it."
                    }
                    details {
                        summary { "The same in words" }
                        (sequence::words(race))
                    }
                }
            }
        }
    }
}

/// What it is called, and what a row has there.
type Column<'a> = (&'a str, &'a dyn Fn(&Row) -> String);

/// A table of everything.
fn figures(rows: &[Row]) -> Markup {
    let columns: [Column<'_>; 15] = [
        ("done", &|row| grouped(row.done)),
        ("asked", &|row| grouped(row.asked)),
        ("failed", &|row| grouped(row.failed)),
        ("seconds", &|row| format!("{:.2}", row.elapsed_s)),
        ("launches/s", &|row| format!("{:.0}", row.launches_per_s)),
        ("stuck", &|row| row.stuck.to_string()),
        ("put while one slept", &|row| {
            words::first_stuck(row).map_or("-".into(), |stuck| grouped(stuck.put_meanwhile))
        }),
        ("stolen", &|row| grouped(row.stolen)),
        ("below low water", &|row| grouped(row.below_low_water)),
        ("wait p50", &|row| human(row.wait_us.p50)),
        ("wait p99", &|row| human(row.wait_us.p99)),
        ("wait max", &|row| human(row.wait_us.max)),
        ("held, most", &|row| bytes(row.memory.most_bytes)),
        ("held, mean", &|row| bytes(row.memory.mean_bytes)),
        ("unused, mean", &|row| bytes(row.memory.mean_unused_bytes)),
    ];
    html! {
        section aria-labelledby="figures" {
            h2 id="figures" { "All figures" }
            div class="scroll" tabindex="0" role="region" aria-labelledby="figures" {
                table {
                    thead {
                        tr {
                            th scope="col" { "protocol" }
                            @for (name, _) in &columns { th scope="col" { (name) } }
                            th scope="col" { "stuck in" }
                        }
                    }
                    tbody {
                        @for row in rows {
                            tr {
                                th scope="row" { (row.protocol) }
                                @for (_, value) in &columns { td { (value(row)) } }
                                td class="prose" { (tally(&row.stuck_in)) }
                            }
                        }
                    }
                }
            }
            @if let Some(row) = rows.first() {
                p class="faint" {
                    "An item is " (grouped(row.item_bytes)) " bytes, the arena " (grouped(row.arena_quanta))
                    " quanta of " (grouped(row.quantum_bytes)) " bytes. \"Stuck\" is who slept for two seconds beside \
                    items that sat idle or were put. \"Stolen\" are pages that were given back for a getter and \
                    went to somebody else."
                }
            }
        }
    }
}

/// How to see it again, and what it ran on.
fn repeated(args: &[OsString]) -> Markup {
    html! {
        section aria-labelledby="repeat" {
            h2 id="repeat" { "To repeat it" }
            pre { code { (machine::command(args)) } }
            dl {
                @for (name, value) in machine::facts() {
                    dt { (name) }
                    dd { (value) }
                }
            }
            p { "The race: " code { "cargo xtask loom steal" } "." }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::report::tests::row;
    use super::*;

    fn page(rows: &[Row], args: &[&str]) -> String {
        let args: Vec<OsString> = args.iter().map(Into::into).collect();
        html(rows, &args).unwrap()
    }

    #[test]
    fn whatever_protocols_there_are_have_their_panels() {
        let page = page(&[row("prime", &[]), row("sleep", &["woken"]), row("of tomorrow", &[])], &["storm"]);
        for name in ["prime", "sleep", "of tomorrow"] {
            assert!(page.contains(&format!("data-protocol=\"{name}\"")), "{name}");
        }
    }

    #[test]
    fn what_comes_from_outside_is_escaped() {
        let page = page(&[row("<b>", &["a <script> & more"])], &["storm", "--program", "</pre><script>"]);
        assert!(!page.contains("<script>") && !page.contains("<b>:"), "{page}");
        assert!(page.contains("a &lt;script&gt; &amp; more"), "{page}");
    }

    #[test]
    fn no_rows_are_a_page() {
        assert!(page(&[], &["storm"]).contains("</html>"));
    }
}
