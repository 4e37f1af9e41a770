//! The machine that everything runs on: its clock stands still until it is moved, and its random numbers come from the
//! seed. Nothing that runs knows of it: the two functions of the system that tell the time and random numbers are
//! replaced in this program.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering::SeqCst};
use std::time::Duration;

use ees_store::Timestamp;

/// The wall clock when a simulation begins: 2026-01-01.
const BEGIN: Duration = Duration::from_secs(1_767_225_600);

/// 0 before a simulation begins: the real time and real random numbers are used.
static RANDOM: AtomicU64 = AtomicU64::new(0);
static NANOS: AtomicU64 = AtomicU64::new(0);
/// How wrong the wall clock of the process that runs is.
static WALL_CLOCK_WRONG_BY: AtomicI64 = AtomicI64::new(0);

/// Begins a simulation.
pub(crate) fn begin(seed: u64) {
    NANOS.store(BEGIN.as_nanos() as u64, SeqCst);
    RANDOM.store(mixed(seed) | 1, SeqCst);
    fastrand::seed(seed);
}

/// How long the simulation lasts by now.
pub(crate) fn now() -> Duration {
    Duration::from_nanos(NANOS.load(SeqCst)) - BEGIN
}

/// What a clock that is right shows when the simulation lasts so long.
pub(crate) fn wall_clock(at: Duration) -> Timestamp {
    Timestamp::from_micros((BEGIN + at).as_micros() as i64)
}

pub(crate) fn advance(by: Duration) {
    NANOS.fetch_add(by.as_nanos() as u64, SeqCst);
}

/// Says how wrong the wall clock is from now on. The other clock is always right.
pub(crate) fn set_wall_clock_wrong_by(millis: i64) {
    WALL_CLOCK_WRONG_BY.store(millis * 1_000_000, SeqCst);
}

fn is_simulated() -> bool {
    RANDOM.load(SeqCst) != 0
}

/// SplitMix64 (Steele, Lea and Flood 2014).
fn mixed(number: u64) -> u64 {
    let number = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let number = (number ^ (number >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    number ^ (number >> 31)
}

#[cfg(target_os = "linux")]
#[allow(unsafe_code, reason = "the standard library asks the system by these names")]
mod replaced {
    use super::{NANOS, RANDOM, SeqCst, WALL_CLOCK_WRONG_BY, is_simulated, mixed};

    #[unsafe(no_mangle)]
    unsafe extern "C" fn clock_gettime(clock: libc::clockid_t, time: *mut libc::timespec) -> libc::c_int {
        if !is_simulated() {
            // SAFETY: what the caller gave goes on to the system.
            return unsafe { libc::syscall(libc::SYS_clock_gettime, clock, time) } as libc::c_int;
        }
        let wrong_by = if clock == libc::CLOCK_REALTIME { WALL_CLOCK_WRONG_BY.load(SeqCst) } else { 0 };
        let nanos = NANOS.load(SeqCst) as i64 + wrong_by;
        // SAFETY: the caller gives a place for the time.
        unsafe {
            time.write(libc::timespec { tv_sec: nanos / 1_000_000_000, tv_nsec: nanos % 1_000_000_000 })
        };
        0
    }

    #[unsafe(no_mangle)]
    unsafe extern "C" fn getrandom(
        buffer: *mut libc::c_void,
        bytes: libc::size_t,
        flags: libc::c_uint,
    ) -> libc::ssize_t {
        if !is_simulated() {
            // SAFETY: what the caller gave goes on to the system.
            return unsafe { libc::syscall(libc::SYS_getrandom, buffer, bytes, flags) } as libc::ssize_t;
        }
        for at in 0..bytes {
            let random = mixed(RANDOM.fetch_add(0x9e37_79b9_7f4a_7c15, SeqCst));
            // SAFETY: the caller gives a place for so many bytes.
            unsafe { buffer.cast::<u8>().add(at).write(random as u8) };
        }
        bytes as libc::ssize_t
    }
}
