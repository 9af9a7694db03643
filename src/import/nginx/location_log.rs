//! Whether the requests of a place are in the access log.

use super::level::Level;

/// Whether `access_log off` holds there.
pub(super) fn is_off(level: &Level<'_>) -> bool {
    level.all("access_log").iter().any(|log| log.first() == "off")
}
