#![cfg_attr(docsrs, feature(doc_cfg))]

//! Read models everybody wants.
//!
//! - [`Statistics`]: how many streams, changesets and events there are, and how long the longest stream is.
//! - [`StreamCatalogue`]: each stream with its type, its length, and when it began and last changed.
//!
//! Both are [`Fold`](ees_projector::Fold)s: register them with [`Projector::fold`](ees_projector::Projector::fold).

mod statistics;
mod stream_catalogue;

pub use statistics::{Statistics, Totals};
pub use stream_catalogue::{CatalogueEntry, StreamCatalogue};
