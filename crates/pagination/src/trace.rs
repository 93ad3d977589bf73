//! What a scan does, as `tracing` events; nothing without the feature. No cursor, address or row is in them.

#[cfg(feature = "tracing")]
pub(crate) use events::{page_ended, page_failed, page_started, resumed, shifts, shrunk};
#[cfg(not(feature = "tracing"))]
pub(crate) use nothing::{page_ended, page_failed, page_started, resumed, shifts, shrunk};

#[cfg(feature = "tracing")]
mod events {
    use core::time::Duration;

    use crate::scan::PageRequest;
    use crate::{Failure, Report};

    pub(crate) fn page_started(ask: &PageRequest) {
        if let Some((rank, order)) = ask.rank() {
            tracing::debug!(
                ask = ask.id(),
                rank,
                rows = ask.rows(),
                order = ?order,
                "page asked for"
            );
        } else {
            tracing::debug!(ask = ask.id(), rows = ask.rows(), "page asked for");
        }
    }

    pub(crate) fn page_ended(id: u64, rows: usize, took: Duration) {
        tracing::debug!(ask = id, rows, took = ?took, "page arrived");
    }

    pub(crate) fn page_failed(id: u64, failure: Failure, took: Duration) {
        tracing::debug!(ask = id, failure = ?failure, took = ?took, "page failed");
    }

    pub(crate) fn shrunk(id: u64, rows: u32) {
        tracing::info!(ask = id, rows, "pages become smaller");
    }

    pub(crate) fn shifts(before: u64, report: &Report) {
        if report.shifts_repaired() > before {
            tracing::info!(rows = report.rows(), "rows have shifted between two pages: repaired");
        }
    }

    pub(crate) fn resumed(report: &Report) {
        tracing::info!(rows = report.rows(), "scan goes on after a failure");
    }
}

#[cfg(not(feature = "tracing"))]
mod nothing {
    use core::time::Duration;

    use crate::scan::PageRequest;
    use crate::{Failure, Report};

    pub(crate) const fn page_started(_: &PageRequest) {}
    pub(crate) const fn page_ended(_: u64, _: usize, _: Duration) {}
    pub(crate) const fn page_failed(_: u64, _: Failure, _: Duration) {}
    pub(crate) const fn shrunk(_: u64, _: u32) {}
    pub(crate) const fn shifts(_: u64, _: &Report) {}
    pub(crate) const fn resumed(_: &Report) {}
}
