//! Starting a program straight from an [`ExecBlock`], and waiting for it.
//!
//! `std::process::Command` would copy every argument to the heap first, and the
//! point of the storm is that a launch's arguments are in its item and nowhere
//! else. `posix_spawnp` takes them where they are: libc starts the child on the
//! caller's memory and returns once the kernel has copied the block (or the
//! start has failed), so the item may go back to the pool right away.

use std::env;
use std::ffi::{CString, OsStr, c_int};
use std::fs;
use std::io;
use std::mem::MaybeUninit;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::ExitStatus;

use anyhow::{Context, Result, bail};

use super::block::ExecBlock;

/// A child that was started. Until somebody waits for it, it is a zombie.
#[derive(Debug)]
#[must_use = "a child that nobody waits for stays a zombie"]
pub(crate) struct Pid(libc::pid_t);

impl Pid {
    /// Waits until the child has ended, however often a signal interrupts.
    ///
    /// # Errors
    ///
    /// It is not there to be waited for: this process was started with SIGCHLD
    /// ignored, and the system has reaped it.
    pub(crate) fn wait(self) -> io::Result<ExitStatus> {
        let mut status = 0;
        loop {
            // SAFETY: there is room for the status.
            if unsafe { libc::waitpid(self.0, &raw mut status, 0) } == self.0 {
                return Ok(ExitStatus::from_raw(status));
            }
            let error = io::Error::last_os_error();
            if error.kind() != io::ErrorKind::Interrupted {
                return Err(error);
            }
        }
    }
}

/// How children are started: their standard input is /dev/null, no signal is
/// blocked, and SIGPIPE ends them as usual, although Rust's runtime has this
/// process ignore it and an ignored signal would stay ignored through exec.
///
/// Made once and shared by all launchers.
pub(crate) struct Spawner {
    // Boxed, for POSIX lets nobody rely on a moved object.
    actions: Box<MaybeUninit<libc::posix_spawn_file_actions_t>>,
    attributes: Box<MaybeUninit<libc::posix_spawnattr_t>>,
}

// Invariant: both objects of a `Spawner` are initialised, from `new` to `drop`.

// SAFETY: nothing in the objects belongs to the thread that made them: they are a
// few integers and an array from malloc.
unsafe impl Send for Spawner {}
// SAFETY: after `new`, a shared `Spawner` is only ever passed to posix_spawnp,
// which takes both objects as pointers to const. libc only reads them there, and
// POSIX requires posix_spawnp to be safe to call from several threads at once.
unsafe impl Sync for Spawner {}

impl Spawner {
    /// Sets up what all children have in common.
    ///
    /// # Errors
    ///
    /// libc has no memory for it.
    pub(crate) fn new() -> io::Result<Self> {
        let mut actions = Box::new(MaybeUninit::uninit());
        let mut attributes = Box::new(MaybeUninit::uninit());
        // SAFETY: room for the object to initialise.
        check(unsafe { libc::posix_spawn_file_actions_init(actions.as_mut_ptr()) })?;
        // SAFETY: as above.
        if let Err(error) = check(unsafe { libc::posix_spawnattr_init(attributes.as_mut_ptr()) }) {
            // SAFETY: initialised a moment ago, and not used any more.
            unsafe { libc::posix_spawn_file_actions_destroy(actions.as_mut_ptr()) };
            return Err(error);
        }
        // From here on, dropping it frees both.
        let mut spawner = Self { actions, attributes };
        spawner.set_up()?;
        Ok(spawner)
    }

    fn set_up(&mut self) -> io::Result<()> {
        let actions = self.actions.as_mut_ptr();
        let null = c"/dev/null".as_ptr();
        // SAFETY: initialised (the invariant), and libc copies the path.
        check(unsafe {
            libc::posix_spawn_file_actions_addopen(actions, libc::STDIN_FILENO, null, libc::O_RDONLY, 0)
        })?;

        let attributes = self.attributes.as_mut_ptr();
        let nothing_blocked = signals(&[])?;
        // SAFETY: initialised (the invariant), and libc copies the set.
        check(unsafe { libc::posix_spawnattr_setsigmask(attributes, &raw const nothing_blocked) })?;
        let back_to_default = signals(&[libc::SIGPIPE])?;
        // SAFETY: as above.
        check(unsafe { libc::posix_spawnattr_setsigdefault(attributes, &raw const back_to_default) })?;
        let flags = libc::POSIX_SPAWN_SETSIGMASK | libc::POSIX_SPAWN_SETSIGDEF;
        // SAFETY: initialised (the invariant). The type of the flags is libc's
        // business: both are small on every platform.
        check(unsafe { libc::posix_spawnattr_setflags(attributes, flags as _) })
    }

    /// Starts the program. The block may be taken down as soon as this returns.
    ///
    /// # Errors
    ///
    /// The program could not be started: it is not there, is no program, or the
    /// system has no process or memory for it just now.
    pub(crate) fn spawn(&self, block: &ExecBlock<'_>) -> io::Result<Pid> {
        let mut pid = 0;
        // SAFETY: the objects are initialised (the invariant). The tables are
        // NULL-terminated arrays of NUL-terminated strings (the block's Invariants
        // 1 and 2) which nobody touches while it is borrowed (its Invariant 3).
        // Nobody changes the environment of this process, where PATH is read.
        check(unsafe {
            libc::posix_spawnp(
                &raw mut pid,
                block.program(),
                self.actions.as_ptr(),
                self.attributes.as_ptr(),
                block.argv(),
                block.envp(),
            )
        })?;
        Ok(Pid(pid))
    }
}

impl Drop for Spawner {
    fn drop(&mut self) {
        // SAFETY: initialised (the invariant), and nobody uses it afterwards.
        unsafe { libc::posix_spawn_file_actions_destroy(self.actions.as_mut_ptr()) };
        // SAFETY: as above.
        unsafe { libc::posix_spawnattr_destroy(self.attributes.as_mut_ptr()) };
    }
}

/// Makes sure that there is such a program to start, before anything is started;
/// gives its name as exec wants it.
///
/// Searches as `posix_spawnp` does: a name with a slash is a path, any other is
/// looked for in every directory of PATH.
///
/// # Errors
///
/// There is none: the error says where it was looked for and what was found.
pub(crate) fn resolve(program: &OsStr) -> Result<CString> {
    let name = CString::new(program.as_bytes())
        .with_context(|| format!("the program's name {} holds a NUL", program.display()))?;
    if program.is_empty() {
        bail!("the program's name is empty");
    }
    if program.as_bytes().contains(&b'/') {
        let path = Path::new(program);
        executable(path).with_context(|| format!("cannot run {}", path.display()))?;
        return Ok(name);
    }
    let path = env::var_os("PATH").unwrap_or_else(|| DEFAULT_PATH.into());
    let mut refused = None;
    for directory in env::split_paths(&path) {
        // An empty directory is the current one; joined, it is just the name.
        let candidate = directory.join(program);
        match executable(&candidate) {
            Ok(()) => return Ok(name),
            // The search goes on, but this is what to report if nothing else is found.
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                refused.get_or_insert((candidate, error));
            }
            Err(_) => {}
        }
    }
    if let Some((candidate, error)) = refused {
        return Err(error).with_context(|| format!("cannot run {}", candidate.display()));
    }
    bail!("there is no program {} in PATH ({})", program.display(), path.display())
}

/// Where libc searches when PATH is not set.
const DEFAULT_PATH: &str = "/bin:/usr/bin";

/// Whether exec would take the file, as far as can be said without trying.
fn executable(path: &Path) -> io::Result<()> {
    if !fs::metadata(path)?.is_file() {
        let refused = io::ErrorKind::PermissionDenied;
        return Err(io::Error::new(refused, "it is not a regular file"));
    }
    let path = CString::new(path.as_os_str().as_bytes())?;
    // SAFETY: a NUL-terminated string.
    match unsafe { libc::access(path.as_ptr(), libc::X_OK) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// The longest argument that exec takes, in bytes without the NUL.
///
/// Linux limits a single argument to 32 pages (`MAX_ARG_STRLEN`), however large
/// the block may be; elsewhere only the whole block is limited.
pub(crate) fn longest_argument() -> usize {
    if !cfg!(target_os = "linux") {
        return usize::MAX;
    }
    // SAFETY: always callable.
    let page = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
    usize::try_from(page).map_or(usize::MAX, |page| 32 * page - 1)
}

/// A set of just these signals.
fn signals(members: &[c_int]) -> io::Result<libc::sigset_t> {
    let mut set = MaybeUninit::uninit();
    // SAFETY: room for a set.
    errno(unsafe { libc::sigemptyset(set.as_mut_ptr()) })?;
    // SAFETY: sigemptyset has initialised it.
    let mut set = unsafe { set.assume_init() };
    for &signal in members {
        // SAFETY: an initialised set.
        errno(unsafe { libc::sigaddset(&raw mut set, signal) })?;
    }
    Ok(set)
}

/// The result of a function that returns its error.
fn check(error: c_int) -> io::Result<()> {
    match error {
        0 => Ok(()),
        error => Err(io::Error::from_raw_os_error(error)),
    }
}

/// The result of a function that returns -1 and leaves its error in `errno`.
fn errno(result: c_int) -> io::Result<()> {
    match result {
        -1 => Err(io::Error::last_os_error()),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use std::ffi::CStr;
    use std::ptr;

    use super::super::block::Environment;
    use super::*;

    fn launch(spawner: &Spawner, program: &CStr, args: &[&[u8]]) -> io::Result<ExitStatus> {
        let mut item = vec![MaybeUninit::uninit(); 256 * 1024];
        let env = Environment::capture();
        let block =
            ExecBlock::build(&mut item, program, args.iter().copied(), &env).map_err(io::Error::other)?;
        let pid = spawner.spawn(&block)?;
        // The child has its own copy: what becomes of the item is none of its business.
        item.fill(MaybeUninit::new(0xff));
        pid.wait()
    }

    /// Runs a script whose exit status is the answer.
    fn shell(script: &[u8]) -> ExitStatus {
        let spawner = Spawner::new().unwrap();
        launch(&spawner, c"sh", &[b"-c", script, b"zero", b"one", b""]).unwrap()
    }

    #[test]
    fn the_exit_status_comes_back() {
        assert!(shell(b"exit 0").success());
        assert_eq!(shell(b"exit 7").code(), Some(7));
        assert_eq!(shell(b"kill -9 $$").signal(), Some(9));
    }

    #[test]
    fn arguments_and_environment_arrive() {
        assert!(shell(b"[ \"$1\" = one ] && [ $# = 2 ] && [ -z \"$2\" ]").success());
        let mut script = b"[ \"$PATH\" = '".to_vec();
        script.extend(env::var_os("PATH").unwrap().as_bytes());
        script.extend(b"' ]");
        assert!(shell(&script).success());
    }

    #[test]
    fn standard_input_is_empty() {
        assert!(shell(b"! read line").success());
    }

    #[test]
    fn sigpipe_ends_children_although_this_process_ignores_it() {
        assert_eq!(shell(b"kill -PIPE $$").signal(), Some(libc::SIGPIPE));
    }

    #[test]
    fn a_signal_blocked_here_is_not_blocked_in_the_child() {
        let blocked = signals(&[libc::SIGTERM]).unwrap();
        // SAFETY: an initialised set; the old mask is not asked for. This is the
        // test's own thread.
        let error = unsafe { libc::pthread_sigmask(libc::SIG_BLOCK, &raw const blocked, ptr::null_mut()) };
        check(error).unwrap();
        assert_eq!(shell(b"kill -TERM $$").signal(), Some(libc::SIGTERM));
    }

    #[test]
    fn launchers_share_a_spawner() {
        let spawner = Spawner::new().unwrap();
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..10 {
                        assert!(launch(&spawner, c"true", &[b"x"]).unwrap().success());
                    }
                });
            }
        });
    }

    #[test]
    fn what_cannot_start_is_an_error_and_not_a_status() {
        let spawner = Spawner::new().unwrap();
        let error = launch(&spawner, c"no-such-program", &[]).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
    }

    #[test]
    fn exec_takes_the_longest_argument_and_none_longer() {
        let spawner = Spawner::new().unwrap();
        let Some(one_more) = longest_argument().checked_add(1) else {
            return;
        };
        let arg = vec![b'x'; one_more];
        assert!(launch(&spawner, c"true", &[&arg[1..]]).unwrap().success());
        let error = launch(&spawner, c"true", &[&arg]).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(libc::E2BIG));
    }

    #[test]
    fn programs_are_found_as_posix_spawnp_finds_them() {
        assert_eq!(resolve(OsStr::new("true")).unwrap(), *c"true");
        assert_eq!(resolve(OsStr::new("/bin/sh")).unwrap(), *c"/bin/sh");
    }

    #[test]
    fn a_program_that_is_not_there_is_named() {
        let failure = |name| format!("{:#}", resolve(OsStr::new(name)).unwrap_err());
        assert!(failure("no-such-program").contains("no program no-such-program in PATH"));
        assert!(failure("/no/such").contains("cannot run /no/such: No such file"));
        assert!(failure("/etc").contains("not a regular file"));
        assert!(failure("/etc/passwd").contains("Permission denied"));
        assert!(failure("").contains("empty"));
        assert!(failure("a\0b").contains("NUL"));
    }
}
