//! `cargo xtask loom`: runs the models and shows each as it ends.
//!
//! The models are ordinary tests, so what they print is held back by the test
//! harness; what they report goes through the file that `LOOM_REPORT` names
//! (see `report.rs`). Cargo's own output goes to a log, which is shown if the
//! run fails.

use std::collections::HashSet;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{self, Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};

use crate::cargo::{cargo, jobs, loom_target_dir, shown, with_loom};
use crate::report::{Heading, Model, Tally, take_lines};

/// What a whole run must have explored: the scenarios, and the twin of each. A model that
/// is renamed is renamed here; one that vanishes is missed.
pub(crate) const EXPECTED: &[&str] = &[
    "put_reaches_the_sleeper",
    "put_reaches_the_sleeper/bypass",
    "put_reaches_the_sleeper/status_quo",
    "steal",
    "steal/first_in_line",
    "steal/no_claim",
    "steal/failing_heir",
    "steal/heir_not_forgotten",
    "steal/deadline_against_claim",
    "steal/late_page_lost",
    "bound/one_page",
    "bound/last_page",
    "bound/commits_late",
    "refused/while_others_wait",
    "refused/told_to_nobody",
    "refused/by_a_panic",
    "refused/by_a_late_panic",
    "refused/panic_keeps_slot",
    "withdraw/before_ask",
    "withdraw/queued_blindly",
    "withdraw/against_delivery",
    "withdraw/taken_before_commit",
    "withdraw/against_grant",
    "cancel/against_hand_over",
    "cancel/against_kick",
    "cancel/against_delivery",
    "cancel/not_passed_on",
    "cancel/grow_timeout",
    "cancel/grow_timeout_and_put",
    "cancel/one_timeout_for_both",
    "future/cancel_against_hand_over",
    "future/cancel_against_kick",
    "future/not_passed_on",
    "future/beside_a_thread",
    "future/another_queue",
    "future/another_task",
    "future/keeps_first_waker",
    "future/woken_unlocked",
    "future/woken_locked",
    "several/against_single",
    "several/against_passing_single",
    "several/against_several",
    "several/piece_by_piece",
    "pieces/all_or_nothing",
    "pieces/as_it_goes",
    "pieces/as_they_go",
    "pieces/waits_while_it_holds",
    "reservation/against_get",
    "reservation/waits_beside_get",
    "reservation/looks_and_takes",
    "reserve/against_gets",
    "reserve/looks_and_takes",
    "reserve/put_serves_root",
    "reserve/put_serves_anybody",
    "objects/drained_against_get",
    "objects/destroyed_in_place",
    "two_pools/older_first",
    "two_pools/own_time",
    "two_pools/no_deadlock",
    "two_pools/keeps_idle",
    "two_pools/classic",
    "two_pools/unsatisfiable_older",
    "two_pools/yields_to_anybody",
    "two_pools/surplus",
    "two_pools/surplus_kept",
    "two_pools/gathering",
    "two_pools/yields_to_nobody",
    "arena/deadline_against_grant",
    "arena/late_grant_dropped",
    "alloc_async/cancelled_against_free",
    "alloc_async/granted_and_forgotten",
    "alloc_async/beside_a_thread",
    "alloc_async/another_queue",
    "alloc_async/another_task",
    "alloc_async/keeps_first_waker",
    "choose/commit_against_commit",
    "choose/forgets_the_loser",
    "choose/commit_against_nack",
    "choose/kick_against_nack",
    "choose/dropped_future",
    "choose/dropped_and_kicked",
    "choose/leaves_without_a_word",
    "choose/chooser_against_chooser",
    "choose/takes_all",
    "choose/nack_against_delivery",
    "choose/loses_the_span",
    "choose/nack_against_a_page",
    "choose/close_against_put",
    "choose/closed_and_told",
    "choose/closed_and_left",
    "choose/closed_quietly",
    "choose/nack_told",
    "choose/nack_noted",
    "windows/thief",
    "windows/without",
    "windows/strict",
    "windows/not_strict",
    "windows/free_against_reaim",
    "windows/two_steps",
    "windows/head_leaves",
    "windows/head_times_out",
    "windows/head_not_forgotten",
    "windows/next_head",
    "reclaim/against_request",
    "reclaim/told_before",
    "reclaim/owes_nothing",
    "reclaim/owed_while_it_runs",
    "reclaim/skips_who_runs",
    "reclaim/never_twice_at_once",
    "reclaim/called_by_all",
    "reclaim/by_shape",
    "reclaim/count_based",
    "relocate/against_free",
    "relocate/moves_what_is_gone",
    "relocate/against_new_head",
    "relocate/by_hook",
    "relocate/keeps_where_to",
    "quota/held_back_against_free",
    "quota/held_back_in_two_steps",
    "quota/holds_up_nobody",
    "quota/counts_in_the_line",
    "quota/pools_of_one_client",
    "quota/keeps_idle",
    "quota/older_first",
    "quota/own_time",
    "two_arenas/two_heads",
    "two_arenas/asks_with_its_lock",
    "close/against_delivery",
    "close/taken_before_commit",
    "close/against_put",
    "close/releases_nothing",
    "close/tells_all",
    "close/tells_one",
    "drain/against_get_and_put",
    "drain/releases_nothing",
    "limit/lowered_while_growing",
    "limit/taken_before_commit",
    "limit/raised_for_waiter",
    "limit/raised_quietly",
    "limit/lowered_and_raised",
    "limit/lowered_below_want",
    "limit/lowered_piece_by_piece",
    "factories/failure_against_waiter",
    "factories/failure_on_own_thread",
    "factories/failure_keeps_slot",
    "factories/failure_against_put",
    "factories/failed_for_ever",
    "factories/panic_against_waiter",
    "factories/panic_on_own_thread",
    "factories/panic_keeps_slot",
    "factories/hang_against_put",
    "factories/hang_against_kick",
    "factories/awaits_its_own",
    "factories/hung_thread",
    "factories/says_nothing",
    "factories/surplus_against_close",
    "factories/commits_afterwards",
    "factories/handed_over_against_cancellation",
    "factories/dropped_without_a_word",
    "factories/handed_over_against_put",
    "factories/put_without_a_word",
    "factories/bad_object_against_cancellation",
    "factories/bad_keeps_its_place",
    "bypass/once",
    "bypass/never",
    "bypass/twice",
    "bypass/oldest_first",
    "bypass/who_looks_first",
    "bypass/passed_once",
    "bypass/passed_twice",
    "bias/pass_against_revoke",
    "bias/passes_again",
    "bias/revoked_again",
    "bias/joined",
    "bias/owner_without_fence",
    "bias/revoker_without_fence",
    "bias/looks_first",
    "bias/leaves_without_release",
    "bias/looks_without_acquire",
    "bias/restored_without_release",
    "bias/passes_without_acquire",
    "bias/joined_without_barrier",
    "caches/put_against_wait",
    "caches/sweeps_nothing",
    "caches/exchange_against_wait",
    "caches/sweeps_no_depot",
    "caches/get_against_wait",
    "caches/get_against_try",
    "caches/tries_without_sweeping",
    "caches/sweeps_past_the_busy",
    "caches/try_against_drain",
    "caches/try_and_ask_against_drain",
    "caches/tries_beside_a_sweep",
    "caches/end_empties",
    "caches/end_empties_nothing",
    "caches/end_against_wait",
    "caches/forgets_the_dead",
    "caches/end_against_drain",
    "caches/drained_without_the_dead",
    "caches/end_against_close",
    "caches/closed_without_the_dead",
    "caches/put_against_close",
    "caches/closes_unswept",
    "caches/put_against_drop",
    "caches/drop_releases_nothing",
    "scarcity/restored_against_wait",
    "scarcity/restored_beside_waiters",
    "scarcity/put_against_wait_elsewhere",
    "scarcity/keeps_cached",
    "scarcity/dropped_after_sweep",
    "scarcity/gone_after_sweep",
    "pins/pin_against_move",
    "pins/pin_against_move/protected",
    "pins/last_unpin_against_move",
    "pins/last_unpin_against_move/protected",
    "pins/first_pin_against_first_pin",
    "pins/first_pins_wait",
    "pins/last_unpin_against_first_pin",
    "pins/two_pins_against_move",
    "pins/move_against_move",
    "pins/drop_against_move",
    "pins/moves_what_is_pinned",
    "pins/pins_what_is_moved",
    "pins/pins_before_open",
    "pins/closes_afterwards",
    "pins/tells_nobody",
    "pins/unpins_without_release",
    "pins/moves_without_acquire",
    "pins/moves_without_release",
    "pins/pins_without_acquire",
];

const POLL: Duration = Duration::from_millis(100);

/// Runs the models whose names have the filter in them, or all. `record`: writes what is recorded of
/// executions to `loom-tests/recordings/`, rather than comparing it with what is there.
pub(crate) fn run(filter: Option<&str>, record: bool) -> anyhow::Result<()> {
    let mut command = command(filter);
    if record {
        command.env("LOOM_RECORD", "1");
    } else {
        command.env_remove("LOOM_RECORD");
    }
    // By what they report as, not by the test functions' names.
    if let Some(filter) = filter {
        command.env("LOOM_ONLY", filter);
    }
    println!("$ {}", shown(&command));

    let files = Files::create()?;
    let log = File::create(&files.log)?;
    // From an absolute path: cargo runs tests in their package's folder.
    command.env("LOOM_REPORT", &files.report).stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);

    let mut models = Models::open(&files.report)?;
    let started = Instant::now();
    let mut child = command.spawn().context("cargo cannot be started")?;
    let followed = models.follow(&mut child);
    if followed.is_err() {
        // Nobody is shown the rest, but the run is not left behind either.
        child.wait()?;
    }
    let status = followed.context("the run could not be followed")?;
    if models.tally.models > 0 {
        println!("{}", models.tally.total(started.elapsed()));
    }

    if !status.success() {
        io::copy(&mut File::open(&files.log)?, &mut io::stderr())?;
        bail!("the loom run failed ({status}); {}", files.log.display());
    }
    ensure!(
        models.refused == 0 && models.unread.is_empty(),
        "not every line is a model's: {}",
        files.report.display()
    );
    files.remove()?;
    if let Some(filter) = filter {
        ensure!(models.tally.models > 0, "no model ran: none has `{filter}` in its name");
    } else {
        let missing: Vec<_> = EXPECTED.iter().filter(|name| !models.names.contains(**name)).collect();
        ensure!(missing.is_empty(), "models that should have run and did not: {missing:?}");
    }
    Ok(())
}

/// Release, because loom's cost is the production code run many times over.
fn command(filter: Option<&str>) -> Command {
    let mut command = cargo();
    with_loom(command.args(["test", "--release"])).args(["-j", jobs()]);
    if filter.is_some() {
        command.args(["-p", "loom-tests", "--tests"]);
    }
    command
}

/// What one run writes, under the target directory. Named for this process, so
/// that two runs at once don't read each other's models.
struct Files {
    report: PathBuf,
    log: PathBuf,
}

impl Files {
    fn create() -> anyhow::Result<Self> {
        let dir = std::path::absolute(loom_target_dir())?;
        fs::create_dir_all(&dir).with_context(|| format!("cannot create {}", dir.display()))?;
        let id = process::id();
        let files =
            Files { report: dir.join(format!("models-{id}.tsv")), log: dir.join(format!("models-{id}.log")) };
        File::create(&files.report)?;
        Ok(files)
    }

    /// After a run whose tests passed; the files of another are kept.
    fn remove(self) -> anyhow::Result<()> {
        fs::remove_file(self.report)?;
        fs::remove_file(self.log)?;
        Ok(())
    }
}

/// The report as it is read.
struct Models {
    report: File,
    unread: Vec<u8>,
    tally: Tally,
    names: HashSet<String>,
    /// Lines that are no model's. They fail the run when it has ended.
    refused: u64,
}

impl Models {
    fn open(report: &Path) -> io::Result<Self> {
        Ok(Models {
            report: File::open(report)?,
            unread: Vec::new(),
            tally: Tally::default(),
            names: HashSet::new(),
            refused: 0,
        })
    }

    /// Shows each model as it ends, until the child does.
    fn follow(&mut self, child: &mut Child) -> io::Result<ExitStatus> {
        loop {
            // Asked before the report is read: what the child wrote before it
            // ended is then in this last read.
            let ended = child.try_wait()?;
            self.show_new()?;
            if let Some(status) = ended {
                return Ok(status);
            }
            thread::sleep(POLL);
        }
    }

    fn show_new(&mut self) -> io::Result<()> {
        self.report.read_to_end(&mut self.unread)?;
        // Not `println`, whose panic at a closed pipe would leave the child.
        let mut out = io::stdout();
        for line in take_lines(&mut self.unread) {
            match Model::parse(&line) {
                Ok(model) => {
                    if self.tally.models == 0 {
                        writeln!(out, "{Heading}")?;
                    }
                    writeln!(out, "{model}")?;
                    self.tally.add(&model);
                    self.names.insert(model.name);
                }
                Err(why) => {
                    writeln!(out, "not a model's line ({why:#}): {line:?}")?;
                    self.refused += 1;
                }
            }
        }
        Ok(())
    }
}
