//! Counts instructions by callgrind, and allocations by an allocator of our own.
//!
//! A bench runs itself once more for each figure, under callgrind, and only what happens within [`measured`] counts. Both
//! counts repeat exactly.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::collections::HashMap;
use std::hint::black_box;
use std::path::Path;
use std::process::{Command, Output};
use std::time::Instant;

thread_local! {
    // Of each thread its own: a count that two threads shared would cost what is to be measured.
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
    static BYTES: Cell<u64> = const { Cell::new(0) };
}

struct Counting;

// SAFETY: every call goes to the system's allocator as it came.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.set(ALLOCATIONS.get() + 1);
        BYTES.set(BYTES.get() + layout.size() as u64);
        // SAFETY: the caller's own promise.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        // SAFETY: the caller's own promise.
        unsafe { System.dealloc(at, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// What something costs.
#[derive(Clone, Copy, Debug)]
pub struct Counts {
    pub instructions: u64,
    pub writes: u64,
    pub allocations: u64,
    pub bytes: u64,
}

/// The value behind `--name=` in the arguments of this program: what it is to do under callgrind.
pub fn argument(name: &str) -> Option<String> {
    let name = format!("--{name}=");
    std::env::args().find_map(|argument| argument.strip_prefix(&name).map(str::to_owned))
}

/// Runs this program under callgrind, with these arguments; its profile goes to this file.
fn callgrind(profile: &Path, arguments: &[String]) -> Output {
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--cache-sim=yes", "--toggle-collect=*only_in_here*"])
        .arg(format!("--callgrind-out-file={}", profile.display()))
        .arg(std::env::current_exe().expect("this program has a path"))
        .args(arguments)
        .output()
        .expect("valgrind can be run");
    assert!(output.status.success(), "{arguments:?}: {output:?}");
    output
}

/// What [`measured`] costs in this program, run with these arguments.
pub fn counts(arguments: &[String]) -> Counts {
    let output = callgrind(Path::new("/dev/null"), arguments);
    let said =
        [&output.stderr, &output.stdout].map(|text| String::from_utf8_lossy(text).into_owned());
    let numbers = |text: &str, before: &str| -> Vec<u64> {
        let line = text.lines().find_map(|line| line.split_once(before));
        let line = line.unwrap_or_else(|| panic!("{arguments:?}: {}", said[0])).1;
        line.split_whitespace().map(|number| number.parse().expect("a number")).collect()
    };
    let collected = numbers(&said[0], "Collected : ");
    let [allocations, bytes] = ["allocations ", "bytes "].map(|name| numbers(&said[1], name)[0]);
    Counts { instructions: collected[0], writes: collected[2], allocations, bytes }
}

/// The same by the names of functions: for each list of words, the instructions within those that have one in their names.
pub fn within<const N: usize>(arguments: &[String], words: [&[&str]; N]) -> [u64; N] {
    let file = std::env::temp_dir().join(format!("callgrind.{}", std::process::id()));
    callgrind(&file, arguments);
    let profile = std::fs::read_to_string(&file).expect("a profile");
    std::fs::remove_file(file).expect("it was there");
    let (mut names, mut sums) = (HashMap::new(), [0; N]);
    let (mut current, mut is_called) = (String::new(), false);
    for line in profile.lines() {
        if let Some((kind @ ("fn" | "cfn"), name)) = line.split_once('=') {
            let (id, name) = name.split_once(' ').unwrap_or((name, ""));
            let name = names.entry(id).or_insert(name);
            if kind == "fn" {
                name.clone_into(&mut current);
            }
        } else if line.starts_with("calls=") {
            is_called = true;
        } else if line.starts_with(|first: char| first.is_ascii_digit() || "+-*".contains(first)) {
            // What a callee costs stands once more behind the call.
            if core::mem::take(&mut is_called) {
                continue;
            }
            let cost = line.split(' ').nth(1).and_then(|cost| cost.parse::<u64>().ok());
            for (sum, words) in sums.iter_mut().zip(words) {
                if words.iter().any(|word| current.contains(word)) {
                    *sum += cost.expect("a number");
                }
            }
        }
    }
    sums
}

/// Does it, and says what it allocated and how long it took, if it was run for a figure.
pub fn measured<T>(work: impl FnOnce() -> T) -> T {
    let (before, began) = ([ALLOCATIONS.get(), BYTES.get()], Instant::now());
    let done = only_in_here(work);
    let (after, time) = ([ALLOCATIONS.get(), BYTES.get()], began.elapsed());
    if argument("figure").is_some() {
        println!("allocations {}\nbytes {}", after[0] - before[0], after[1] - before[1]);
        println!("nanoseconds {}", time.as_nanos());
    }
    done
}

/// Instructions are counted between the call and the return.
#[inline(never)]
fn only_in_here<T>(work: impl FnOnce() -> T) -> T {
    black_box(work())
}
