//! Reloads a gateway, and waits until it is idle.

use super::gateway::Gateway;
use super::wait::eventually;

impl Gateway {
    /// Puts another text in the place of its YAML file, and waits until it is at work.
    pub async fn reload(&self, yaml: impl AsRef<str>) {
        self.rewrite(yaml);
        let answer = self.ask("POST", "/reload").await;
        assert_eq!(answer.status, 200, "{}", answer.text());
    }

    /// Waits until nothing is in flight, by any gauge, no memory is charged, and all snapshots but the present one are gone.
    pub async fn idle(&self) {
        eventually("an idle gateway", async || {
            let metrics = self.metrics().await;
            let is_idle = metrics.in_flight().iter().all(|(_, count)| *count == 0.0);
            let held = metrics.sum("tollgate_memory_bytes", &[]);
            is_idle && held == 0.0 && metrics.sum("tollgate_config_snapshots", &[]) == 1.0
        })
        .await;
    }
}
