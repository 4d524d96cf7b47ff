//! A recorded execution as a sequence diagram: who did what to whom, from top to bottom.
//!
//! Drawn here, since no charting crate has it: lines down for everybody, and an arrow or a
//! note for each step. Its colours are classes of the page's style sheet.

use loom_tests::record::{Recording, Step};
use maud::{Markup, html};

/// From left to right; whoever else there is comes behind them.
const ORDER: [&str; 5] = ["holder", "pool", "getter", "arena", "thief"];
/// Pixels between two lines down, of one step, above the first step, and of letters. Narrow, so that
/// letters are readable on a telephone.
const COLUMN: f64 = 108.0;
const MARGIN: f64 = 48.0;
const STEP: f64 = 44.0;
const HEAD: f64 = 56.0;
const LETTER: f64 = 7.6;
const ARROW: f64 = 8.0;

/// The diagram.
pub(super) fn svg(recording: &Recording) -> Markup {
    let lines = lines(recording);
    let width = MARGIN * 2.0 + COLUMN * lines.len().saturating_sub(1) as f64;
    let height = HEAD + STEP * recording.steps.len() as f64 + 16.0;
    let x = |who: &str| MARGIN + COLUMN * lines.iter().position(|line| *line == who).unwrap_or(0) as f64;
    let alt = format!(
        "Sequence diagram of {} steps between {}; the same in words is below",
        recording.steps.len(),
        lines.join(", ")
    );
    html! {
        svg class="sequence" viewBox={ "0 0 " (width) " " (height) } role="img" aria-label=(alt) {
            @for line in &lines {
                line class="life" x1=(x(line)) x2=(x(line)) y1="34" y2=(height) {}
                rect class="who" x=(x(line) - 42.0) y="4" width="84" height="30" rx="6" {}
                text x=(x(line)) y="24" text-anchor="middle" { (line) }
            }
            @for (nth, step) in recording.steps.iter().enumerate() {
                (drawn(step, HEAD + STEP * nth as f64 + 22.0, width, &x))
            }
        }
    }
}

/// Everybody there is, from left to right.
fn lines(recording: &Recording) -> Vec<&str> {
    let all = || recording.steps.iter().flat_map(|step| step.to.as_deref().into_iter().chain([&*step.who]));
    let mut lines: Vec<&str> = ORDER.into_iter().filter(|name| all().any(|who| who == *name)).collect();
    for who in all() {
        if !lines.contains(&who) {
            lines.push(who);
        }
    }
    lines
}

fn drawn(step: &Step, y: f64, width: f64, x: &dyn Fn(&str) -> f64) -> Markup {
    let from = x(&step.who);
    let half = step.what.chars().count() as f64 * LETTER / 2.0;
    // All of it inside the picture, with what is around it.
    let inside = |middle: f64| {
        let half = half + 12.0;
        middle.clamp(half.min(width / 2.0), (width - half).max(width / 2.0))
    };
    let thief = step.who == "thief" || step.to.as_deref() == Some("thief");
    let class = if thief { "step theft" } else { "step" };
    let Some(to) = step.to.as_deref().map(x) else {
        let middle = inside(from);
        return html! {
            g class=(class) {
                rect class="note" x=(middle - half - 8.0) y=(y - 15.0) width=(half * 2.0 + 16.0) height="26" rx="4" {}
                text x=(middle) y=(y + 3.0) text-anchor="middle" { (step.what) }
            }
        };
    };
    let back = if to > from { -ARROW } else { ARROW };
    let head = format!("{to},{y} {},{} {},{}", to + back, y - 5.0, to + back, y + 5.0);
    html! {
        g class=(class) {
            line class=[step.outcome.then_some("outcome")] x1=(from) x2=(to + back) y1=(y) y2=(y) {}
            polygon points=(head) {}
            text x=(inside(f64::midpoint(from, to))) y=(y - 8.0) text-anchor="middle" { (step.what) }
        }
    }
}

/// The same, as a list.
pub(super) fn words(recording: &Recording) -> Markup {
    html! {
        ol {
            @for step in &recording.steps {
                li {
                    b { (step.who) }
                    @if let Some(to) = &step.to { " \u{2192} " b { (to) } }
                    ": " (step.what)
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use loom_tests::record::STEAL;

    #[test]
    fn the_committed_recording_is_the_story() {
        let recording = Recording::from_json(STEAL).unwrap();
        assert_eq!(recording.model, "steal/no_claim");
        assert_eq!(lines(&recording), ORDER);
        let at = |who: &str, what: &str| {
            let found = recording.steps.iter().position(|step| step.who == who && step.what.contains(what));
            found.unwrap_or_else(|| panic!("{who}: {what}"))
        };
        // It goes to sleep, the page is freed for it, the thief has it, and it finds none.
        let story = [at("getter", "asleep"), at("pool", "free"), at("arena", "wake"), at("thief", "a page")];
        assert!(story.is_sorted(), "{story:?}");
    }

    #[test]
    fn every_step_is_drawn_and_escaped() {
        let step = Step { who: "a<b".into(), to: None, what: "x & y".into(), outcome: false };
        let recording =
            Recording { model: String::new(), execution: 1, failed: String::new(), steps: vec![step; 3] };
        let svg = svg(&recording).into_string();
        assert_eq!(svg.matches("x &amp; y").count(), 3, "{svg}");
        assert!(!svg.contains("a<b"), "{svg}");
        assert_eq!(words(&recording).into_string().matches("<li>").count(), 3);
    }
}
