//! A filter of system calls (seccomp(2)) that refuses one of them.

#[cfg(all(target_os = "linux", any(target_arch = "x86_64", target_arch = "aarch64")))]
mod imp {
    use std::mem::offset_of;

    #[cfg(target_arch = "x86_64")]
    const MACHINE: u16 = libc::EM_X86_64;
    #[cfg(target_arch = "aarch64")]
    const MACHINE: u16 = libc::EM_AARCH64;
    /// As <linux/audit.h> has it: of 64 bits, little-endian.
    const ARCH: u32 = MACHINE as u32 | 0x8000_0000 | 0x4000_0000;

    const fn statement(code: u32, value: u32) -> libc::sock_filter {
        libc::sock_filter { code: code as u16, jt: 0, jf: 0, k: value }
    }

    /// Goes on where the loaded word is `value`, and else past `skips` statements.
    const fn is(value: u32, skips: u8) -> libc::sock_filter {
        let code = libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K;
        libc::sock_filter { code: code as u16, jt: 0, jf: skips, k: value }
    }

    const fn load(offset: usize) -> libc::sock_filter {
        statement(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, offset as u32)
    }

    const fn answer(value: u32) -> libc::sock_filter {
        statement(libc::BPF_RET | libc::BPF_K, value)
    }

    /// From now on the kernel answers this call with an error, for this thread and those it spawns. Whether
    /// that could be done.
    pub(crate) fn refuse(call: libc::c_long, errno: i32) -> bool {
        let mut filter = [
            load(offset_of!(libc::seccomp_data, arch)),
            is(ARCH, 3),
            load(offset_of!(libc::seccomp_data, nr)),
            is(u32::try_from(call).expect("a call has a number"), 1),
            answer(libc::SECCOMP_RET_ERRNO | errno.unsigned_abs()),
            answer(libc::SECCOMP_RET_ALLOW),
        ];
        let program = libc::sock_fprog { len: filter.len() as u16, filter: filter.as_mut_ptr() };
        // SAFETY: it takes numbers only.
        let quiet = unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) };
        // SAFETY: the program is there, as long as it says, and the kernel copies it.
        let set = unsafe { libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, &raw const program) };
        quiet == 0 && set == 0
    }
}

#[cfg(not(all(target_os = "linux", any(target_arch = "x86_64", target_arch = "aarch64"))))]
mod imp {
    pub(crate) fn refuse(_: libc::c_long, _: i32) -> bool {
        false
    }
}

pub(crate) use imp::refuse;
