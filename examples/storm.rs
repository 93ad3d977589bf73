//! What retries do to a service in trouble, as tables.
//!
//! `cargo run --release -p storm` prints the page `docs/storm/README.md`, `… -- limits` one part of it, and `… -- pictures`
//! draws its pictures anew.

use std::env::args;
use std::process::ExitCode;

use storm::{SECTIONS, TITLE};

fn main() -> ExitCode {
    let asked = args().nth(1);
    if asked.as_deref() == Some("pictures") {
        for (name, picture) in storm::picture::pictures() {
            let path = storm::page().with_file_name(name);
            std::fs::write(&path, picture).expect("docs/storm can be written");
            println!("{}", path.display());
        }
        return ExitCode::SUCCESS;
    }
    let names = SECTIONS.map(|section| section.name).join(", ") + ", pictures";
    if asked.as_deref() == Some("--help") {
        println!("storm prints docs/storm/README.md, in two minutes; storm <part> one of: {names}");
        println!("`pictures` writes those of docs/storm anew");
        return ExitCode::SUCCESS;
    }
    let sections: Vec<_> = SECTIONS
        .iter()
        .filter(|it| asked.as_deref().is_none_or(|asked| asked == it.name))
        .collect();
    if sections.is_empty() {
        eprintln!("there is no such part; there are {names}");
        return ExitCode::FAILURE;
    }
    if asked.is_none() {
        println!("{TITLE}");
    }
    for section in sections {
        println!("{}", section.page(&(section.tables)()));
    }
    ExitCode::SUCCESS
}
