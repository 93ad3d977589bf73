//! What the report says beside its figures, and how it writes them.

use std::fmt::Display;
use std::process::Command;

pub const HEAD: &str = "\
# What it costs

What `cargo bench -p benches --bench report` has printed, beside what people use instead, in one run. It fails if something
of ours gets dearer. `cargo bench -p benches --bench times` takes times by criterion.

Instructions and allocations repeat exactly for one binary; another layout of the code moves them by a few percent, so smaller
differences between two rows say nothing. Times are the least of five processes on a machine shared with others: one digit of
them is good. Callgrind counts nothing of the kernel, and almost nothing for reading a clock or taking a lock.";

pub const ABOUT_REQUESTS: &str = "\
made before, with five headers, two of them made at run time. The bare service drops the
request and answers at once; where a peer sends again, it gets as many requests that were made before. At most five attempts
and no wait. `GET, ruled out` carries the caller's mark `Forbidden`. In brackets: over the peer's base.";

pub const REQUESTS_READ: &str = "\
All who can send again pay for the copy. A policy written by hand for tower's own `Retry` pays for little else, and backon for
as little on a request that succeeds: nothing here is faster than they are. They look at the status only, read no header, keep
no origins apart, hold nobody back and keep no record. `GET, ruled out` is one for ours and the tuned policy, which know the
mark; the others copy as ever. Of a POST, ours keeps a copy, because one that never left may be sent again; the tuned policy
does not.

Above reqwest-middleware and smithy there is no figure in brackets where attempts fail: what repeats is inside of one call, and
their base needs several.";

pub const RUNNING: &str = "\
A timer for no wait waits for tokio's next tick, up to a millisecond later. That is what the second column shows: here nobody
was to wait, and who makes a timer all the same has waited. By their defaults all of them wait for longer.";

pub const ABOUT_PIECES: &str = "\
backoffs with the random number that spreads them. Those of tower and backon go on by themselves and are made anew after six
waits, which is in their figures.";

pub const ABOUT_THREADS: &str = "\
Requests that succeed, each made within the loop; the control multiplies four hundred numbers. Read it if the control, which
shares nothing, comes near 2: it had both cores then. They are taken up to five times until it reaches 1.9.";

pub const ABOUT_PAGES: &str = "\
from memory. Raw pages are lists of numbers, so that the walk's own cost is left; JSON pages
become items that own a text. None of the others looks at what it passes on. Ours finds each row's key, for which it reads the
JSON once more, and remembers the newest rows of a cursor, so that none comes twice.";

pub const PER_PAGE: &str = "\
the look for pages that
go in circles, the report, the limit, the size of the next page.";

pub const ABOUT_WAITS: &str = "\
The simulated clock stands still while something is computed, the
simulated API's own part included. Prefetch is beside the page that is read: 4 are 5 under way, as page-turner's 5 ahead.
page-turner asks by offset, and loses rows when the list changes meanwhile; ours overlaps pages by a row to find that. The
ranges are even: the ids of the simulated API are spread so.";

/// Where this runs, and which versions.
pub fn machine() {
    let said = |program: &str| {
        let output = Command::new(program).arg("--version").output().expect("it can be run");
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    };
    let cpus = std::fs::read_to_string("/proc/cpuinfo").expect("a list of processors");
    let model = cpus.lines().find_map(|line| line.strip_prefix("model name")).unwrap_or("unknown");
    let model = model.trim_start_matches([' ', '\t', ':']);
    let cores = std::thread::available_parallelism().expect("a number of cores");
    let (rustc, valgrind) = (said("rustc"), said("valgrind"));
    let libc = said("ldd");
    let libc = libc.lines().next().unwrap_or_default();
    let [tokio, reqwest] = ["tokio", "reqwest"].map(version);
    println!("{rustc}, {valgrind}, {libc}, tokio {tokio},");
    println!("reqwest {reqwest}; the bench profile of `Cargo.toml`; {model}, {cores} cores.");
}

/// The version of a crate that was built in.
pub fn version(of: &str) -> String {
    let lock = concat!(env!("CARGO_MANIFEST_DIR"), "/../Cargo.lock");
    let lock = std::fs::read_to_string(lock).expect("the lock file");
    let name = format!("name = \"{of}\"\nversion = \"");
    let rest = lock.split_once(&name).unwrap_or_else(|| panic!("{of} is not built in")).1;
    rest.split('"').next().expect("a version").to_owned()
}

/// With a comma before each three digits.
pub fn grouped(number: impl Display) -> String {
    let digits = number.to_string();
    let groups = digits.as_bytes().rchunks(3).rev();
    let groups: Vec<_> = groups.map(String::from_utf8_lossy).collect();
    groups.join(",")
}

pub fn two_digits(number: u64) -> u64 {
    let unit = 10_u64.pow(number.max(1).ilog10().saturating_sub(1));
    (number + unit / 2) / unit * unit
}

pub fn round(figure: f64) -> f64 {
    (figure * 100.0).round() / 100.0
}
