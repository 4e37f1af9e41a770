//! The metrics of the data folder: how much room its disk has left, and how much the log takes.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Registry;

/// Measures the file of the log at each scrape.
#[derive(Debug)]
struct Disk {
    log: PathBuf,
}

pub(super) fn register(registry: &mut Registry, log: &Path) {
    registry.register_collector(Box::new(Disk { log: log.to_owned() }));
}

impl Disk {
    #[cfg(not(unix))]
    fn free(&self) -> Option<f64> {
        None
    }

    #[cfg(unix)]
    fn free(&self) -> Option<f64> {
        let folder = self.log.parent().filter(|it| !it.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let file_system = rustix::fs::statvfs(folder).ok()?;
        Some(file_system.f_bavail as f64 * file_system.f_frsize as f64)
    }

    fn wal(&self) -> PathBuf {
        let mut name = self.log.clone().into_os_string();
        name.push("-wal");
        name.into()
    }
}

fn length(path: &Path) -> Option<f64> {
    Some(fs::metadata(path).ok()?.len() as f64)
}

impl Collector for Disk {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let gauges = [
            ("ees_data_free_bytes", "Bytes that the disk of the log has left", self.free()),
            ("ees_log_bytes", "Bytes of the log's file", length(&self.log)),
            (
                "ees_log_wal_bytes",
                "Bytes of the log's write-ahead log, of which some are in the log's file too",
                length(&self.wal()),
            ),
        ];
        for (name, help, value) in gauges {
            let Some(value) = value else { continue };
            let gauge = ConstGauge::new(value);
            gauge.encode(encoder.encode_descriptor(name, help, None, gauge.metric_type())?)?;
        }
        Ok(())
    }
}
