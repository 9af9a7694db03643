//! What tests ask of a gateway again and again: another configuration, and whether all of its work has come to an end.

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
    pub async fn rests(&self) {
        eventually("a gateway that rests", async || {
            let metrics = self.metrics().await;
            let idle = metrics.in_flight().iter().all(|(_, count)| *count == 0.0);
            let held = metrics.sum("tollgate_memory_bytes", &[]);
            idle && held == 0.0 && metrics.sum("tollgate_config_snapshots", &[]) == 1.0
        })
        .await;
    }
}
