#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| ees_projector::fuzzing::state(data));
