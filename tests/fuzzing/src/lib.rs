//! Fuzz targets as tests: the inputs of a corpus, and then mutations of them, by a seed.
//!
//! A target is a function that takes any bytes and panics when a property does not hold. `fuzz/` gives the same
//! functions to libFuzzer, which is guided by coverage and finds what this can't; this runs on stable Rust, with
//! `cargo test`.
#![expect(clippy::panic, reason = "it fails by panicking, as tests do")]

mod corpus;
mod json;
mod mutator;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;

pub use corpus::corpus;
pub use json::random_json;
use mutator::Mutator;

/// Mutations of each target when `EES_FUZZ_RUNS` does not say otherwise: all targets together take some seconds.
pub const RUNS: u64 = 5_000;

/// Gives a target its corpus, and then this many mutated inputs.
///
/// `EES_FUZZ_SEED` chooses other mutations, `EES_FUZZ_RUNS` another number of them.
///
/// # Panics
/// If the target panics; which input it was, and how to see it again, is printed. If there is no corpus.
pub fn fuzz(target: &str, runs: u64, check: impl Fn(&[u8])) {
    let (seed, runs) = (from_environment("EES_FUZZ_SEED", 1), from_environment("EES_FUZZ_RUNS", runs));
    let corpus = corpus(target);
    for (name, input) in &corpus {
        run(target, input, &check, &format!("it is the file {name} of the corpus"));
    }
    let inputs: Vec<Vec<u8>> = corpus.into_iter().map(|(_, input)| input).collect();
    let mut mutator = Mutator::new(seed, &inputs);
    for number in 1..=runs {
        let again = format!(
            "again: EES_FUZZ_SEED={seed} EES_FUZZ_RUNS={number} cargo test --workspace --lib --bins fuzzing::tests::{target}"
        );
        run(target, &mutator.mutated(), &check, &again);
    }
}

/// Makes a test of each target of the module above, with its number of mutated inputs.
#[macro_export]
macro_rules! targets {
    ($($target:ident: $runs:expr;)+) => {
        $(#[test]
        fn $target() {
            $crate::fuzz(stringify!($target), $runs, super::$target);
        })+
    };
}

fn run(target: &str, input: &[u8], check: &impl Fn(&[u8]), origin: &str) {
    if catch_unwind(AssertUnwindSafe(|| check(input))).is_err() {
        let file = kept(target, input);
        let shown = input.escape_ascii();
        panic!(
            "the target {target} failed for b\"{shown}\"; {origin}\nThe input is in {}: once the fault is mended, it \
             belongs into fuzz/corpus/{target}",
            file.display()
        );
    }
}

fn kept(target: &str, input: &[u8]) -> PathBuf {
    let file = std::env::temp_dir().join(format!("ees-fuzz-{target}"));
    // The input is in the message, too.
    let _ = std::fs::write(&file, input);
    file
}

fn from_environment(name: &str, default: u64) -> u64 {
    match std::env::var(name) {
        Ok(text) => text.parse().unwrap_or_else(|_| panic!("{name} is no whole number: {text:?}")),
        Err(_) => default,
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::collections::BTreeSet;

    use super::*;

    fn inputs_of(seed: u64) -> Vec<Vec<u8>> {
        let corpus = [b"{\"a\":[1,2]}".to_vec(), b"x".to_vec()];
        let mut mutator = Mutator::new(seed, &corpus);
        (0..500).map(|_| mutator.mutated()).collect()
    }

    #[test]
    fn a_seed_gives_the_same_inputs_again_and_another_seed_others() {
        assert_eq!(inputs_of(1), inputs_of(1));
        assert_ne!(inputs_of(1), inputs_of(2));
        assert!(inputs_of(1).iter().collect::<BTreeSet<_>>().len() > 300);
    }

    #[test]
    fn a_target_gets_all_of_its_corpus_and_mutations() {
        let seen = RefCell::new(Vec::new());
        fuzz("json", 10, |input| seen.borrow_mut().push(input.to_vec()));
        let corpus = corpus("json");
        assert_eq!(seen.borrow().len(), corpus.len() + 10);
        assert!(corpus.iter().all(|(_, input)| seen.borrow().contains(input)));
    }

    #[test]
    #[should_panic(expected = "the target json failed for b\"")]
    fn a_target_that_panics_is_told_with_its_input() {
        fuzz("json", 1_000, |input| assert!(input.is_empty()));
    }

    #[test]
    #[should_panic(expected = "has no corpus")]
    fn a_target_without_a_corpus_fails() {
        fuzz("none", 1, |_| {});
    }

    /// Targets of the command: `cargo test` alone fuzzes them, since libFuzzer reaches libraries only.
    const TESTS_ONLY: [&str; 2] = ["import_file", "import_line"];

    #[test]
    fn every_target_of_libfuzzer_has_a_corpus_and_every_corpus_a_target() {
        let fuzz = corpus::root();
        let names = |folder: &str| -> BTreeSet<String> {
            let entries = std::fs::read_dir(fuzz.join(folder)).expect("it is there");
            let path = entries.map(|entry| entry.expect("an entry").path());
            path.map(|path| path.file_stem().expect("a name").to_string_lossy().into_owned()).collect()
        };
        let mut targets = names("fuzz_targets");
        targets.extend(TESTS_ONLY.map(str::to_owned));
        assert_eq!(targets, names("corpus"));
    }

    #[test]
    fn generated_json_is_of_many_kinds() {
        let mut random = fastrand::Rng::with_seed(1);
        let generated: Vec<String> = (0..500).map(|_| random_json(&mut random)).collect();
        for part in ["{", "[", "\\u", "e", "true", "null", " ", "\"\"", "\\ud8", "[["] {
            assert!(generated.iter().any(|json| json.contains(part)), "{part}");
        }
    }
}
