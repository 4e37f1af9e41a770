//! What happened in a seed, as it is printed when the seed fails.

use std::sync::{Arc, Mutex};

use crate::machine;

/// What happened, with the times.
#[derive(Clone, Default)]
pub(crate) struct Diary(Arc<Mutex<Vec<String>>>);

impl Diary {
    pub(crate) fn note(&self, what: String) {
        self.0.lock().unwrap().push(format!("{:9.3} s  {what}", machine::now().as_secs_f64()));
    }

    pub(crate) fn print(&self) {
        for line in &*self.0.lock().unwrap() {
            println!("{line}");
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.0.lock().unwrap().len()
    }
}
