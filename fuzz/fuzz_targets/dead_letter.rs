#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| ees_store::fuzzing::dead_letter(data));
