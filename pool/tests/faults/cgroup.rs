//! A memory cgroup whose limit is reached. The kernel does not refuse there: it kills. So the tests are of
//! what can be had instead: that the process ends rather than hangs, that nothing of it stays, *when* it
//! is killed, and what keeps within the limit. Each is in a process and a group of its own.
//!
//! With the killer switched off, which only version 1 has, who commits memory sleeps in the kernel. That
//! is as near as one comes to a refusal, and worse: no put reaches it. Nobody else is to be held up by
//! it.

use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::FileExt;
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::Output;
use std::ptr::NonNull;
use std::thread;

use kva::{Arena, Decommit, Frames, Region, Reserve};
use pool::RawPool;

use super::children::{self, cannot};
use super::support::{QUANTUM, assert_rests, assert_whole, blocks, put, put_all, until};

const LIMIT: usize = 24 << 20;
/// Well within the limit, with what the process needs besides.
const LITTLE: usize = (LIMIT / 2) / QUANTUM;
/// More than the limit.
const MUCH: usize = 2 * LIMIT / QUANTUM;

/// No test, but the processes that tests start.
#[test]
fn the_process_itself() {
    let Some(role) = children::role() else { return };
    let (role, group) = role.split_once(' ').unwrap();
    let group = Group::entered(group);
    match role {
        "touch" => touch(MUCH),
        "touch-little" => touch(LITTLE),
        "primed" => primed(MUCH),
        "primed-little" => primed(LITTLE),
        "frames" => drop(Frames::builder(MUCH as u32).frame_size(QUANTUM).primed(true).build()),
        "discard" => visit_each(Decommit::Discard),
        "protect" => visit_each(Decommit::Protect),
        "never" => visit_each(Decommit::Never),
        "no-killer" => no_killer(&group),
        other => panic!("{other}"),
    }
    said("done");
}

/// One line, at once: the process may be killed at any moment.
fn said(line: &str) {
    println!("said: {line}");
    io::stdout().flush().unwrap();
}

fn arena(quanta: usize, how: Reserve) -> Arena {
    Arena::new(Region::reserve(quanta * QUANTUM, how).unwrap(), QUANTUM).unwrap()
}

/// Writes to each item of a pool, and puts them all.
fn write_to_all(pool: &RawPool, items: usize) {
    let items = pool.get_many(items).unwrap();
    for item in &items {
        // SAFETY: the item is ours.
        unsafe { item.write_bytes(7, QUANTUM) };
    }
    put_all(pool, items);
}

/// Memory is there when it is first touched, and so is the end.
fn touch(quanta: usize) {
    let memory = arena(quanta, Reserve::new());
    let pool = blocks(quanta as u32).build_primed(memory.clone()).unwrap();
    said("built");
    write_to_all(&pool, quanta);
    pool.set_water(0, quanta as u32).unwrap();
    assert_rests(&pool, &memory);
}

/// Memory is there when the pool is, or neither.
fn primed(quanta: usize) {
    let memory = arena(quanta, Reserve::new().populate(true));
    let pool = blocks(quanta as u32).build_primed(memory.clone()).unwrap();
    said("built");
    write_to_all(&pool, quanta);
    pool.set_water(0, quanta as u32).unwrap();
    assert_rests(&pool, &memory);
}

/// Uses all of an arena, a quantum at a time.
fn visit_each(policy: Decommit) {
    let memory = arena(MUCH, Reserve::new().decommit(policy));
    for at in 0..MUCH as u32 {
        let span = memory.try_alloc_at(at..at + 1).unwrap();
        // SAFETY: the span is ours.
        unsafe { memory.ptr(span).unwrap().write_bytes(7, QUANTUM) };
        memory.free(span).unwrap();
    }
    assert_whole(&memory);
}

/// Who commits sleeps in the kernel, with no lock of ours: others get and put beside it. Given more, it
/// goes on.
fn no_killer(group: &Group) {
    if !group.switch_killer_off() {
        cannot();
    }
    let error = Frames::builder(MUCH as u32).frame_size(QUANTUM).primed(true).build().unwrap_err();
    let cause = std::error::Error::source(&error).unwrap().to_string().to_lowercase();
    assert!(cause.contains("fallocate(2)") && cause.contains("cannot allocate memory"), "{cause}");

    let memory = arena(MUCH, Reserve::new().populate(true).decommit(Decommit::Discard));
    let pool = blocks(MUCH as u32).build(memory.clone()).unwrap();
    // Our own tables are there when they are first written to as well, and that is under locks: so
    // all of them once, with room for it.
    group.set_limit(4 * LIMIT);
    put_all(&pool, pool.get_many(MUCH).unwrap());
    assert_rests(&pool, &memory);
    group.set_limit(LIMIT);
    let pressure = group.pressure();
    let first = pool.get().unwrap();
    visit_often(&pool, first);
    thread::scope(|scope| {
        // Also if this thread panics, or the other would never end.
        let pressure = pressure;
        let commits = scope.spawn(|| {
            let all: Vec<_> = (1..MUCH).map(|_| pool.get().unwrap()).collect();
            put_all(&pool, all);
        });
        until(|| pressure.is_on());
        // The one that sleeps is neither in line nor in the way.
        visit_often(&pool, first);
        put(&pool, first).unwrap();
        let stats = pool.stats();
        assert!(stats.growing <= 1 && stats.pages + stats.growing <= stats.hard_limit, "P1: {stats:?}");
        drop(pressure);
        commits.join().unwrap();
    });
    assert_rests(&pool, &memory);
}

/// Puts the item and gets it again, often.
fn visit_often(pool: &RawPool, item: NonNull<u8>) {
    for _ in 0..1000 {
        put(pool, item).unwrap();
        assert_eq!(pool.try_get().unwrap(), item, "it is the only one that is idle");
    }
}

/// A memory cgroup of either version. Removed when dropped, by who made it.
struct Group {
    path: PathBuf,
    is_mine: bool,
    is_v2: bool,
}

impl Group {
    /// Below this process's own. `None`: there are none here, or this process may not make one.
    fn new(name: &str) -> Option<Self> {
        let of_ours = fs::read_to_string("/proc/self/cgroup").ok()?;
        let name = format!("pool-faults-{}-{name}", std::process::id());
        let mounts = fs::read_to_string("/proc/self/mountinfo").ok()?;
        for is_v2 in [false, true] {
            let ours = of_ours.lines().find_map(|line| {
                let mut fields = line.splitn(3, ':');
                let (id, controllers, path) = (fields.next()?, fields.next()?, fields.next()?);
                let is_it = if is_v2 { id == "0" } else { controllers.split(',').any(|it| it == "memory") };
                is_it.then(|| path.trim_start_matches('/').to_owned())
            });
            let mount = mounts.lines().find_map(|line| {
                let (place, kind) = line.split_once(" - ")?;
                let mut kind = kind.split(' ');
                let (filesystem, options) = (kind.next()?, kind.nth(1)?);
                let is_it = if is_v2 {
                    filesystem == "cgroup2"
                } else {
                    filesystem == "cgroup" && options.split(',').any(|it| it == "memory")
                };
                is_it.then(|| place.split(' ').nth(4).map(PathBuf::from))?
            });
            let (Some(ours), Some(mount)) = (ours, mount) else { continue };
            // In a container the path may be one that is not visible here: then the mount is the group.
            for parent in [mount.join(ours), mount] {
                if is_v2 {
                    // Refused where there are processes in it, and where it is so already.
                    let _ = fs::write(parent.join("cgroup.subtree_control"), "+memory");
                }
                let path = parent.join(&name);
                if fs::create_dir(&path).is_err() {
                    continue;
                }
                let group = Self { path, is_mine: true, is_v2 };
                if group.write(group.limit(), LIMIT).is_ok() {
                    // Where there is no swap there is no such file.
                    let swap = if is_v2 {
                        group.write("memory.swap.max", 0)
                    } else {
                        group.write("memory.memsw.limit_in_bytes", LIMIT)
                    };
                    drop(swap);
                    return Some(group);
                }
            }
        }
        None
    }

    /// This process, and all that it starts from here on, is in the group.
    fn entered(path: &str) -> Self {
        let path = PathBuf::from(path);
        let group = Self { is_v2: path.join("memory.max").exists(), is_mine: false, path };
        if group.write("cgroup.procs", std::process::id() as usize).is_err() {
            cannot();
        }
        group
    }

    const fn limit(&self) -> &'static str {
        if self.is_v2 { "memory.max" } else { "memory.limit_in_bytes" }
    }

    fn write(&self, file: &str, value: usize) -> io::Result<()> {
        fs::write(self.path.join(file), value.to_string())
    }

    fn set_limit(&self, bytes: usize) {
        // That of memory and swap together is never below, and there may be none.
        let _ = self.write("memory.memsw.limit_in_bytes", bytes);
        self.write(self.limit(), bytes).unwrap();
        let _ = self.write("memory.memsw.limit_in_bytes", bytes);
    }

    fn switch_killer_off(&self) -> bool {
        self.write("memory.oom_control", 1).is_ok()
    }

    fn pressure(&self) -> Pressure {
        let open = |file| fs::File::options().write(true).open(self.path.join(file));
        let control = fs::File::open(self.path.join("memory.oom_control")).unwrap();
        let swap = open("memory.memsw.limit_in_bytes").ok();
        let pressure = Pressure { control, limit: open(self.limit()).unwrap(), swap };
        assert!(!pressure.is_on());
        pressure
    }

    fn in_use(&self) -> usize {
        let file = if self.is_v2 { "memory.current" } else { "memory.usage_in_bytes" };
        fs::read_to_string(self.path.join(file)).unwrap().trim().parse().unwrap()
    }
}

/// Says whether somebody in the group waits for memory, and gives it more when dropped. Both take none:
/// its files were opened, and read, before.
struct Pressure {
    control: fs::File,
    limit: fs::File,
    swap: Option<fs::File>,
}

impl Pressure {
    fn is_on(&self) -> bool {
        let mut text = [0; 256];
        let read = self.control.read_at(&mut text, 0).unwrap();
        text[..read].windows(11).any(|it| it == b"under_oom 1")
    }
}

impl Drop for Pressure {
    fn drop(&mut self) {
        for file in self.swap.iter().chain([&self.limit]) {
            let _ = file.write_at(b"128M", 0);
        }
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        if self.is_mine {
            // The last process may be on its way out still.
            for _ in 0..1000 {
                if fs::remove_dir(&self.path).is_ok() {
                    return;
                }
                thread::yield_now();
            }
        }
    }
}

/// Runs the role in a group of its own; `None`, aloud, where there can be none.
fn in_group(role: &str) -> Option<Output> {
    let Some(group) = Group::new(role) else {
        let _ = writeln!(io::stderr(), "skipped: {role}: no memory cgroup can be made here");
        return None;
    };
    let output = children::output("cgroup::the_process_itself", &format!("{role} {}", group.path.display()));
    // Nothing of it is charged any more. What of the binary was read meanwhile is the kernel's to keep.
    let left = group.in_use();
    assert!(left < LIMIT / 4, "{left} bytes of a process that is gone");
    output
}

fn says(output: &Output, line: &str) -> bool {
    String::from_utf8_lossy(&output.stdout).lines().any(|it| it.ends_with(&format!("said: {line}")))
}

fn assert_passes(role: &str) {
    let Some(output) = in_group(role) else { return };
    assert!(output.status.success() && says(&output, "done"), "{role}: {output:?}");
}

/// Its parent sees that it was killed; whether it had built what it was about by then.
fn assert_killed(role: &str, built: bool) {
    let Some(output) = in_group(role) else { return };
    assert_eq!(output.status.signal(), Some(libc::SIGKILL), "{role}: {output:?}");
    assert_eq!(says(&output, "built"), built, "{role}: {output:?}");
    assert!(!says(&output, "done"), "{role}: {output:?}");
}

#[test]
fn memory_that_is_not_populated_kills_whoever_touches_it() {
    assert_killed("touch", true);
    assert_passes("touch-little");
}

#[test]
fn populated_memory_kills_while_the_pool_is_built_and_never_later() {
    assert_killed("primed", false);
    assert_passes("primed-little");
}

#[test]
fn primed_frames_kill_while_they_are_made() {
    assert_killed("frames", false);
}

#[test]
fn memory_that_is_given_back_is_not_charged() {
    assert_passes("discard");
    assert_passes("protect");
    // What is kept is.
    assert_killed("never", false);
}

#[test]
fn without_a_killer_who_commits_sleeps_and_holds_up_nobody() {
    assert_passes("no-killer");
}
